# What runs in bash before and after an agent's command. It is evaluated first; then bash.go's one-line program evaluates
# the command itself, so that line numbers in bash's messages are the command's own.
#
# Descriptor 250 is the record: what was standard error when bash began. The command's standard error goes where its
# standard output goes, so that both stay in order. While the command runs, 250 is closed for it, and bash keeps a copy
# that no child inherits. An exit inside a function runs the EXIT trap before bash puts 250 back, so that copy must be
# known: 251 is there to recognise it.
#
# The record, each item ended by NUL (n is TACHO_NONCE):
#   start:n  HOME  TMPDIR  PATH  LANG           as the sandbox set them; written first
#   record:n  directory  NAME=value …  TACHO_END_n=   the last one counts
# One record is written before an EXIT trap of the command's own, which may itself end the shell, and one after it.

exec 250>&2 251>&2 2>&1
printf '%s\0' "start:$TACHO_NONCE" "$HOME" "$TMPDIR" "$PATH" "$LANG" >&250

__tacho_nonce=$TACHO_NONCE __tacho_dir=$TACHO_DIR __tacho_old=$OLDPWD __tacho_script= __tacho_exit=
for ((__tacho_i = 0; __tacho_i < TACHO_PARTS; __tacho_i++)); do
	__tacho_part=TACHO_PART_$__tacho_i
	__tacho_script+=${!__tacho_part}
	unset "$__tacho_part"
done
unset TACHO_NONCE TACHO_DIR TACHO_PARTS TACHO_PRELUDE __tacho_i __tacho_part

if [[ -n $__tacho_dir ]] && ! cd -- "$__tacho_dir" 2>/dev/null; then
	printf '[the working directory %q is gone; this runs in %q]\n' "$__tacho_dir" "$PWD"
fi
if [[ -n $__tacho_old ]]; then
	OLDPWD=$__tacho_old
else
	unset OLDPWD
	export OLDPWD
fi

# __tacho_run is called where 250 is closed, just before the command is evaluated.
__tacho_run() {
	for ((__tacho_copy = 10; __tacho_copy < 250; __tacho_copy++)); do
		[[ /dev/fd/$__tacho_copy -ef /dev/fd/251 ]] && break
	done
	exec 251>&-
}

# __tacho_record writes a record. env is a process of its own and does not take the shell's place: a shell that a signal
# ends runs its EXIT trap first, and must still be seen to die of that signal.
__tacho_record() {
	local fd=250
	[[ -e /dev/fd/250 ]] || fd=$__tacho_copy
	[[ $PWD -ef . ]] || PWD=$(builtin pwd -P)
	builtin printf '%s\0' "record:$__tacho_nonce" "$PWD" >&"$fd"
	/usr/bin/env -0 "TACHO_END_$__tacho_nonce=" >&"$fd"
}

__tacho_return() { builtin return "$1"; }

# __tacho_end is the EXIT trap. It runs after a plain end, exit, an error under set -e and a fatal error alike.
__tacho_end() {
	builtin set +euf +o noclobber
	builtin trap - DEBUG ERR RETURN
	IFS=$' \t\n'
	if [[ -n $__tacho_exit ]]; then
		__tacho_record 2>/dev/null
		__tacho_return "$__tacho_status"
		{ builtin eval "$__tacho_exit"; } 250>&-
	fi
	__tacho_record 2>/dev/null
}

# trap keeps the command's EXIT trap beside ours instead of in its place. Subshells have traps of their own.
trap() {
	if [[ $BASHPID != "$$" || $# -eq 0 || $1 == -[lp]* ]]; then
		builtin trap "$@"
		return
	fi
	[[ $1 == -- ]] && shift
	local action=- signal others=()
	if (($# > 1)) && [[ ! $1 =~ ^[0-9]+$ ]]; then
		action=$1
		shift
	fi
	for signal; do
		case ${signal^^} in
		0 | EXIT | SIGEXIT) if [[ $action == - ]]; then __tacho_exit=; else __tacho_exit=$action; fi ;;
		*) others+=("$signal") ;;
		esac
	done
	((${#others[@]} == 0)) || builtin trap -- "$action" "${others[@]}"
}

builtin trap '{ __tacho_status=$? FUNCNEST=; builtin set +xv +o posix; } 2>/dev/null; __tacho_end' EXIT

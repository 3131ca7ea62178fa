// Package tools holds what an agent can do in its workspace: the toolsets "filesystem" (in process) and "bash" (a
// process in the run's sandbox), the words a model reads about them, and what each call's effects are.
//
// A call has two halves. [Set.Plan] reads the arguments a model wrote, checks them against the same table from which the
// tool's JSON Schema is made, and says what the call would do; it changes nothing. [Set.Run] does it. Whoever stands
// between them (runner/gate) decides on the plan, so Run does what the plan says or refuses: it never does more.
//
// # Paths
//
// A path in an argument is absolute below Env.Mount or relative to it, never relative to bash's working directory. It is
// cleaned by its letters; what leaves the tree is refused. Plan then resolves symbolic links, so that a decision is
// about the file that is really meant: Targets name it with no link left in any part. Run goes down from the tree's root
// one directory at a time and accepts no link where the plan saw none, so a link that is swapped in after the decision
// is refused, and os.Root holds the tree's border beneath that. Relative paths in Targets and Touched use "/"; "." is
// the tree itself.
//
// A name is shown as it is if it is printable UTF-8 without a backslash. Otherwise each backslash is shown as \\ and each
// other byte that is not part of a printable character as \xHH, and the same spelling is understood in arguments: every
// name has one spelling, and what is shown can be sent back. Targets are spelled like this too, because they travel as
// JSON; Outcome.Touched holds the names' own bytes.
//
// # What a model is told
//
// Text is bounded by Limits.Show, is valid UTF-8 without control characters, and a cut says what was cut and how to see
// it. A failure that the model can mend is an Outcome with status "error" (from Run) or an error (from Plan) that names
// the argument; a Go error from Run is a failure of ours or of the machine.
//
// # The bash session
//
// Each call of bash is a process of its own. Its working directory and exported variables (functions too) are taken at
// its end and given to the next one as an ordinary environment: session text is never evaluated. The bytes, specified at
// [session], hold only what differs from Env.Vars, so a variable that the server provides is never written to the state.
//
// What this package must never do: follow a link out of the tree, evaluate anything in process, decide, journal, or keep
// anything between two calls.
//
// Read first: tools.go (the types), param.go (arguments), tree.go (the way to a file), then one tool, such as edit.go.
// bash.go and prelude.bash are the other half.
package tools

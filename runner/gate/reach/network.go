package reach

import "strings"

// network reads programs whose purpose is to reach another machine.
func (r *shell) network(name string, args []word) bool {
	switch name {
	case "curl", "wget", "http", "https", "xh", "aria2c", "lynx", "w3m", "links":
		r.fetch(name, args)
	case "ssh", "mosh", "sftp", "telnet", "ftp", "lftp":
		opts, operands := options(args, "p i l o F J L R D b c e m E I S W w Q B")
		if jump, ok := value(opts, "J"); ok {
			r.hosts([]word{jump})
		}
		r.hosts(operands[:min(1, len(operands))])
		if has(opts, "o") && !r.Opaque {
			r.Opaque = optionRuns(opts)
		}
	case "nc", "ncat", "netcat":
		opts, operands := options(args, "p s w e c i q X x exec sh-exec")
		if command, ok := value(opts, "e", "c", "exec", "sh-exec"); ok {
			r.code(command)
		}
		r.hosts(operands[:min(1, len(operands))])
		r.UsesNetwork = r.UsesNetwork || has(opts, "l") || len(operands) == 0
	case "scp", "rsync", "rclone":
		r.remoteCopy(args)
	case "socat", "nmap", "masscan", "openvpn", "wg", "tor", "ngrok", "cloudflared", "tcpdump":
		r.UsesNetwork, r.Unresolved = true, true
	case "ping", "ping6", "traceroute", "dig", "nslookup", "host", "whois", "drill":
		// A name that is looked up carries what is in it.
		_, operands := options(args, "c i W w t s I m p k x y f b")
		r.hosts(operands[:min(1, len(operands))])
		r.UsesNetwork = true
	default:
		return false
	}
	return true
}

// optionRuns knows ssh's ProxyCommand and LocalCommand.
func optionRuns(opts []option) bool {
	for _, o := range opts {
		if v := strings.ToLower(o.value.text); strings.Contains(v, "command") {
			return true
		}
	}
	return false
}

func (r *shell) hosts(list []word) {
	for _, w := range list {
		if w.dynamic || w.glob {
			r.Unresolved, r.UsesNetwork = true, true
			continue
		}
		r.host(w.text)
	}
}

const curlValued = "o O_ d H X u A e b c F T K m w x r E C P U Y y z t Q output data data-raw data-binary data-urlencode header " +
	"request user user-agent referer cookie cookie-jar form upload-file config max-time write-out proxy cert key cacert " +
	"retry retry-delay connect-timeout url resolve connect-to interface limit-rate json url-query output-dir"

const wgetValued = "O P o a i U T t w e Q A R I X D B output-document directory-prefix output-file append-output input-file " +
	"user-agent timeout tries header post-data post-file user password execute body-data body-file method"

func (r *shell) fetch(name string, args []word) {
	valued := curlValued
	if name == "wget" {
		valued = wgetValued
	}
	opts, operands := options(args, valued)
	for _, o := range opts {
		switch {
		case o.name == "url" || o.name == "x" || o.name == "proxy":
			r.hosts([]word{o.value})
		case o.name == "resolve" || o.name == "connect-to" || o.name == "K" || o.name == "config" || o.name == "i" || o.name == "input-file":
			r.Unresolved, r.UsesNetwork = true, true // the host is not the URL's, or stands in a file
		case o.name == "T" || o.name == "upload-file" || o.name == "post-file" || o.name == "body-file":
			r.file(o.value, reads)
		case strings.HasPrefix(o.value.text, "@"): // -d @file
			r.file(word{text: o.value.text[1:], dynamic: o.value.dynamic}, reads)
		case o.name == "F" || o.name == "form":
			if _, file, ok := strings.Cut(o.value.text, "=@"); ok {
				r.file(word{text: file, dynamic: o.value.dynamic}, reads)
			}
		}
	}
	r.saved(name, opts)
	if (name == "http" || name == "https" || name == "xh") && len(operands) > 1 {
		operands = operands[:min(2, len(operands))]
		if strings.ToUpper(operands[0].text) == operands[0].text {
			operands = operands[1:]
		}
		operands = operands[:1]
	}
	r.hosts(operands)
	r.UsesNetwork = r.UsesNetwork || len(operands) == 0 && len(opts) > 0 && !has(opts, "Vh", "version", "help")
}

// saved adds the file that a download is written to.
func (r *shell) saved(name string, opts []option) {
	letter, long := "o", "output"
	if name == "wget" {
		letter, long = "O", "output-document"
	}
	if to, ok := value(opts, letter, long); ok {
		r.file(to, writes)
	}
}

// remoteCopy reads [user@]host:path operands.
func (r *shell) remoteCopy(args []word) {
	opts, operands := options(args, "P i l o F J c S e f rsh port exclude include filter files-from exclude-from")
	if command, ok := value(opts, "e", "rsh"); ok && len(strings.Fields(command.text)) > 1 {
		r.Opaque = true
	}
	if has(opts, "", "delete") {
		r.RecursiveDelete = true
	}
	for i, a := range operands {
		if host, ok := remoteHost(a.text); ok {
			r.hosts([]word{{text: host, dynamic: a.dynamic && !strings.Contains(a.text, ":")}})
			r.Publishes = r.Publishes || i == len(operands)-1 && i > 0
			continue
		}
		how := reads
		if i == len(operands)-1 && i > 0 {
			how = writes
		}
		r.file(a, how)
	}
}

// remoteHost knows scheme://host/… and host:path; a slash before the colon makes it a local path.
func remoteHost(s string) (string, bool) {
	if strings.Contains(s, "://") {
		return s, !strings.HasPrefix(s, "file://")
	}
	host, _, ok := strings.Cut(s, ":")
	if !ok || host == "" || strings.Contains(host, "/") {
		return "", false
	}
	return host, true
}

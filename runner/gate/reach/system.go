package reach

import "strings"

// system reads programs that change the machine, other machines, or what runs on them.
func (r *shell) system(name string, args []word) bool {
	verb := firstOperand(args)
	switch name {
	case "mount", "umount", "insmod", "modprobe", "rmmod", "setcap", "passwd", "useradd", "usermod", "userdel", "visudo",
		"chpasswd", "newgrp", "iptables", "nft", "capsh":
		r.Escalates = true
	case "sysctl":
		r.Escalates = r.Escalates || hasWord(args, "-w", "-p", "--write", "--system")
	case "mkfs", "fdisk", "parted", "wipefs", "mkswap", "sgdisk", "cryptsetup", "lvremove", "vgremove", "blkdiscard", "hdparm":
		r.Destructive = true
	case "shutdown", "reboot", "halt", "poweroff", "init", "telinit":
		r.Destructive, r.Escalates = true, true
	case "kill", "pkill", "killall", "fuser":
		r.Destructive = r.Destructive || name == "fuser" || hasWord(args, "-1") && hasWord(args, "-9", "-KILL") || verb == "1"
	case "crontab", "at", "batch", "systemctl", "service", "launchctl", "systemd-run":
		r.Escalates = true
	case "docker", "podman", "nerdctl", "docker-compose", "buildah":
		r.container(verb)
	case "kubectl", "helm", "oc", "terraform", "tofu", "pulumi", "ansible", "ansible-playbook", "aws", "gcloud", "az", "doctl", "heroku",
		"fly", "flyctl", "vercel", "netlify", "wrangler", "firebase", "serverless", "sls", "cdk", "eksctl", "gsutil", "s3cmd":
		r.cloud(verb, args)
	case "gh", "glab", "hub":
		r.UsesNetwork = true
		r.Publishes = r.Publishes || hasWord(args, "create", "merge", "edit", "delete", "close", "comment", "upload", "api", "push", "release")
	case "mail", "mailx", "sendmail", "mutt", "swaks":
		r.UsesNetwork, r.Publishes = true, true
	case "psql", "mysql", "mongosh", "mongo", "redis-cli", "sqlite3", "clickhouse-client":
		r.database(name, args)
	default:
		if strings.HasPrefix(name, "mkfs.") {
			r.Destructive = true
			return true
		}
		return false
	}
	return true
}

func hasWord(args []word, words ...string) bool {
	for _, a := range args {
		for _, w := range words {
			if a.text == w {
				return true
			}
		}
	}
	return false
}

// container: a container daemon does as root what its client asks for.
func (r *shell) container(verb string) {
	r.Escalates = true
	switch verb {
	case "push", "login":
		r.Publishes, r.UsesNetwork = true, true
	case "pull", "build", "run", "create", "compose", "up":
		r.InstallsPackages = true
	case "rm", "rmi", "prune", "system", "volume", "kill", "down":
		r.Destructive = true
	}
}

func (r *shell) cloud(verb string, args []word) {
	r.UsesNetwork = true
	for _, a := range args {
		switch a.text {
		case "get", "describe", "list", "ls", "plan", "validate", "fmt", "show", "logs", "version", "diff", "template", "lint", "--help", "--version":
			return
		}
	}
	r.Publishes = r.Publishes || verb != ""
	r.Destructive = r.Destructive || hasWord(args, "delete", "destroy", "rm", "uninstall", "terminate", "drain", "rb", "--delete")
}

// database marks clients that name a host, and statements that drop.
func (r *shell) database(name string, args []word) {
	opts, _ := options(args, "h H p P U u d c e f n host port user database command execute eval")
	if host, ok := value(opts, "h", "host"); ok {
		r.hosts([]word{host})
	}
	for _, a := range args {
		upper := strings.ToUpper(a.text)
		for _, drop := range []string{"DROP ", "TRUNCATE ", "DELETE FROM", "FLUSHALL", "FLUSHDB", ".DROPDATABASE"} {
			r.Destructive = r.Destructive || strings.Contains(upper, drop)
		}
	}
	r.Unresolved = r.Unresolved || name != "sqlite3"
}

package reach

import "slices"

// packages reads package managers. They do several things; only those that bring in or send out
// code are told apart. They are not taken for network programs: most find what they need in a
// cache or a vendor directory, and say so themselves when they do not.
func (r *shell) packages(name string, args []word) bool {
	verb := firstOperand(args)
	installs, publishes := packageVerbs(name)
	if installs == nil && publishes == nil {
		return false
	}
	r.InstallsPackages = r.InstallsPackages || slices.Contains(installs, verb)
	if slices.Contains(publishes, verb) {
		r.Publishes, r.UsesNetwork = true, true
	}
	if verb == "" && len(args) == 0 && (name == "yarn" || name == "bundle") {
		r.InstallsPackages = true
	}
	if name == "go" {
		r.goTool(verb, args)
	}
	return true
}

func packageVerbs(name string) (installs, publishes []string) {
	switch name {
	case "npm", "pnpm", "yarn", "bun":
		return []string{"install", "i", "add", "ci", "update", "upgrade", "exec", "dlx", "create", "init", "x"}, []string{"publish", "unpublish", "login", "deprecate"}
	case "pip", "pip3", "uv", "poetry", "pipenv", "conda", "mamba", "easy_install", "pdm", "hatch":
		return []string{"install", "add", "sync", "update", "create", "pip", "tool", "download"}, []string{"publish", "upload"}
	case "twine", "flit":
		return nil, []string{"upload", "publish"}
	case "gem", "bundle", "bundler":
		return []string{"install", "update", "add"}, []string{"push", "publish", "yank"}
	case "cargo":
		return []string{"install", "add", "fetch", "update"}, []string{"publish", "yank", "login", "owner"}
	case "go":
		return []string{"get", "install"}, []string{}
	case "composer":
		return []string{"install", "require", "update", "create-project"}, []string{}
	case "apt", "apt-get", "aptitude", "yum", "dnf", "zypper", "apk", "pacman", "brew", "snap", "port", "dpkg", "rpm", "nix-env", "flatpak":
		return []string{"install", "add", "upgrade", "update", "dist-upgrade", "remove", "-S", "-i", "-U", "-Sy", "-Syu", "-iA"}, []string{}
	case "mvn", "gradle", "gradlew", "mvnw", "dotnet", "nuget":
		return []string{"restore", "add"}, []string{"deploy", "publish", "push", "release:perform"}
	}
	return nil, nil
}

// firstOperand is the verb of a command line, or its first option if it has none.
func firstOperand(args []word) string {
	for _, a := range args {
		if len(a.text) > 0 && a.text[0] != '-' {
			return a.text
		}
	}
	if len(args) > 0 {
		return args[0].text
	}
	return ""
}

// goTool knows go's ways to run a program: go run, generate, test -exec, build -toolexec.
func (r *shell) goTool(verb string, args []word) {
	opts, operands := options(args, "exec toolexec")
	if _, ok := value(opts, "exec", "toolexec"); ok || verb == "generate" {
		r.Opaque = true
	}
	if verb == "run" && len(operands) > 1 {
		if slices.ContainsFunc([]byte(operands[1].text), func(c byte) bool { return c == '@' }) {
			r.InstallsPackages = true
		}
	}
}

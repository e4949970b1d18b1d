# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Responsible for: finding the Debian mirror this host already uses. No mirror
# is named here; when none is found mmdebstrap takes its own default.

# All "URI SUITE" pairs that carry component main, one a line.
apt_sources() {
	local dir=${1:-/etc/apt} file

	for file in "$dir"/sources.list "$dir"/sources.list.d/*.list; do
		[ -r "$file" ] || continue
		# deb [options] URI SUITE COMPONENT...
		sed -nE 's/#.*//; s/^[[:space:]]*deb[[:space:]]+(\[[^]]*\][[:space:]]+)?//p' "$file" |
			awk '{ for (i = 3; i <= NF; i++) if ($i == "main") { print $1, $2; next } }'
	done
	for file in "$dir"/sources.list.d/*.sources; do
		[ -r "$file" ] || continue
		awk '
		function flush(  i, j, u, s, nu, ns) {
			if (" " types " " ~ / deb / && " " comps " " ~ / main / && enabled !~ /^(no|false|0|off)$/) {
				nu = split(uris, u, " "); ns = split(suites, s, " ")
				for (i = 1; i <= nu; i++) for (j = 1; j <= ns; j++) print u[i], s[j]
			}
			types = uris = suites = comps = enabled = field = ""
		}
		/^#/ { next }
		/^[ \t]*$/ { flush(); next }
		{
			line = $0
			if (line !~ /^[ \t]/) {
				field = tolower(line); sub(/:.*/, "", field); sub(/^[^:]*:/, "", line)
			}
			gsub(/[ \t]+/, " ", line); sub(/^ /, "", line); sub(/ $/, "", line)
			if (field == "types") types = types " " line
			else if (field == "uris") uris = uris " " line
			else if (field == "suites") suites = suites " " line
			else if (field == "components") comps = comps " " line
			else if (field == "enabled") enabled = tolower(line)
		}
		END { flush() }' "$file"
	done
}

# The first http(s) mirror of Debian itself; empty when there is none.
find_mirror() {
	local uri suite

	while read -r uri suite; do
		case $suite in
		*security*) continue ;;
		bullseye* | bookworm* | trixie* | forky* | duke* | sid | unstable | experimental) ;;
		# Other vendors name their suites like this too: only in a folder "debian".
		stable* | testing* | oldstable*)
			[[ $uri == */debian?(/) ]] || continue ;;
		*) continue ;;
		esac
		case $uri in
		mirror+file:* | mirror:file:*)
			# A list of mirrors, as on Debian's cloud images.
			uri=$(awk '/^https?:/ { print $1; exit }' "/${uri#*file:/}" 2>/dev/null) || uri=
			;;
		esac
		case $uri in
		http://* | https://*)
			printf '%s\n' "$uri"
			return 0
			;;
		esac
	done < <(apt_sources "$@")
}

# Proxy settings of the host's apt, for the apt inside the build root.
apt_proxy_conf() {
	command -v apt-config >/dev/null || return 0
	apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https)::(Proxy|CAInfo)' || true
}

# SPDX-License-Identifier: BSD-2-Clause
#
# Completion of turnoutctl's command line for bash, with or without the
# bash-completion package.  Verbs and listings are those of `turnoutctl help`;
# tests/unit/test_completion.py compares them.

# Names of the daemons whose sockets lie in the run directories given so far.
_turnoutctl_daemons()
{
	local i socket name
	local -a dirs=()

	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == --run-dir ]] || continue
		[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
		((i + 1 < COMP_CWORD)) && dirs+=("${COMP_WORDS[i + 1]}")
	done
	((${#dirs[@]})) || dirs=(/run/turnout)
	for i in "${dirs[@]}"; do
		for socket in "$i"/*.sock; do
			[[ -S $socket ]] || continue
			name=${socket##*/}
			printf '%s\n' "${name%.sock}"
		done
	done | sort -u
}

# "SERVICE/SERVER" of the managers in the run directories given so far.
_turnoutctl_servers()
{
	local i
	local -a options=()

	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == --run-dir ]] || continue
		[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
		((i + 1 < COMP_CWORD)) && options+=(--run-dir "${COMP_WORDS[i + 1]}")
	done
	turnoutctl "${options[@]}" --timeout 500 --json show servers 2>/dev/null |
		sed -n 's/.*"service":"\([^"]*\)","name":"\([^"]*\)".*/\1\/\2/p' | sort -u
}

# The verb and how many words that are no options precede the one to complete.
_turnoutctl_words()
{
	local i

	verb='' words=0
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--run-dir | --from | --timeout | -w | --write | --reason | --count | --for)
			((i++))
			[[ ${COMP_WORDS[i]} == = ]] && ((i++))
			;;
		-*) ;;
		*)
			((words++)) || verb=${COMP_WORDS[i]}
			;;
		esac
	done
}

_turnoutctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb words
	local verbs='show watch trace server version capture doctor help'
	local listings='agents managers services servers wildcards affinities flows forwards counters routes interfaces'
	local capture='-w --write --drops --punts --copies --returned --reason --count --for'
	local options='--run-dir --from --json --all --timeout --help --version'

	# bash makes words of their own of the parts of --option=value.
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = ]] && ((COMP_CWORD >= 2)); then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	COMPREPLY=()
	case $prev in
	--run-dir)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		compopt -o filenames 2>/dev/null
		return
		;;
	--from)
		mapfile -t COMPREPLY < <(compgen -W "$(_turnoutctl_daemons)" -- "$cur")
		return
		;;
	-w | --write)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
		return
		;;
	--timeout | --reason | --count | --for)
		return
		;;
	esac
	_turnoutctl_words
	if [[ $cur == -* ]]; then
		[[ $verb == capture ]] && options="$options $capture"
		[[ $verb == watch ]] && options="$options --count --for"
		[[ $verb == doctor ]] && options="$options --for"
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		return
	fi
	case $words,$verb in
	0,*) mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur") ;;
	1,show) mapfile -t COMPREPLY < <(compgen -W "$listings" -- "$cur") ;;
	1,server) mapfile -t COMPREPLY < <(compgen -W "drain enable disable" -- "$cur") ;;
	2,server) mapfile -t COMPREPLY < <(compgen -W "$(_turnoutctl_servers)" -- "$cur") ;;
	1,trace) mapfile -t COMPREPLY < <(compgen -W "tcp udp icmp icmpv6" -- "$cur") ;;
	1,help) mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur") ;;
	esac
}

complete -F _turnoutctl turnoutctl

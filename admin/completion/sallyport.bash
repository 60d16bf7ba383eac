# SPDX-License-Identifier: Apache-2.0
# bash completion for sallyport(1)

_sallyport()
{
	local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words=

	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		words="sessions kill status reload doctor policy --help --version"
	elif [ "$COMP_CWORD" = 2 ] && [ "${COMP_WORDS[1]}" = policy ]; then
		words="check explain test show schema diff"
	else
		case $before in
		--request) words="shell exec subsystem forward listen agent x11" ;;
		--auth) words="key sk-key" ;;
		--user | --group | --from | --key | --at | --command | --to | --profile | --rule | --message) return ;;
		--socket | --config | --broker | --cases | --replay)
			compopt -o filenames
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
			return ;;
		esac
	fi
	if [ -z "$words" ] && [ "${COMP_WORDS[1]}" != policy ]; then
		case ${COMP_WORDS[1]} in
		sessions) words="--config --socket --json --watch --help" ;;
		kill) words="--config --socket --json --user --rule --message --help" ;;
		status | reload) words="--config --socket --json --help" ;;
		doctor) words="--socket --json --config --broker --help" ;;
		esac
	elif [ -z "$words" ] && [[ $current == -* ]]; then
		case ${COMP_WORDS[2]} in
		check) words="--json --strict --help" ;;
		explain) words="--json --user --group --from --key --auth --verified --at --request --command --pty --to --help" ;;
		test) words="--json --quiet --cases --help" ;;
		show) words="--json --effective --profile --help" ;;
		diff) words="--json --replay --help" ;;
		esac
	fi
	if [ -n "$words" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	else
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	fi
}

complete -F _sallyport sallyport

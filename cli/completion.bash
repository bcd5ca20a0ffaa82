# bash completion for holdfast
# Written by the target cli_reference from the definitions in cli/arguments.cc.
_holdfast() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command='' i
    local commands='config doctor evacuate list migrate prune resume save show verify why'
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ " $commands " == *" ${COMP_WORDS[i]} "* ]] && { command=${COMP_WORDS[i]}; break; }
    done
    case $before in
        show | why | save | migrate | resume | prune | verify)
            # shellcheck disable=SC2207 # job ids have no spaces
            COMPREPLY=($(compgen -W "$(squeue --me --noheader --format=%A 2>/dev/null)" -- "$word"))
            return ;;
        --exclude | evacuate)
            # shellcheck disable=SC2207 # nor have nodes
            COMPREPLY=($(compgen -W "$(sinfo --noheader --Node --format=%N 2>/dev/null)" -- "$word"))
            return ;;
    esac
    local words='--json --help'
    case $command in
        '') words+=" --version $commands" ;;
        save) words+=' --stop' ;;
        migrate) words+=' --exclude --nodes' ;;
        resume) words+=' --exclude --nodes --checkpoint --from-start' ;;
        evacuate) words+=' --reason' ;;
        prune) words+=' --keep --checkpoint-dir --submitted --user --expired' ;;
        verify) words+=' --checkpoint-dir --submitted --user' ;;
        config) words+=' check reference' ;;
    esac
    # shellcheck disable=SC2207
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _holdfast holdfast

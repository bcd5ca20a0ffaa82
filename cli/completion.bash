# bash completion for holdfast
_holdfast() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command='' i
    local commands='list show save migrate resume prune verify evacuate doctor'
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ " $commands " == *" ${COMP_WORDS[i]} "* ]] && { command=${COMP_WORDS[i]}; break; }
    done
    case $before in
        show | save | migrate | resume | prune | verify)
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
        migrate) words+=' --exclude' ;;
        evacuate) words+=' --reason' ;;
        prune) words+=' --keep= --checkpoint-dir --submitted --user --expired' ;;
        verify) words+=' --checkpoint-dir --submitted --user' ;;
        resume) words+=' --exclude --checkpoint --from-start' ;;
    esac
    # shellcheck disable=SC2207
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _holdfast holdfast

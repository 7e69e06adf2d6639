_satellite_osp_cleanup_completion() {
    local IFS=$'\n'
    local response

    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _SATELLITE_OSP_CLEANUP_COMPLETE=bash_complete $1)

    for completion in $response; do
        IFS=',' read type value <<< "$completion"

        if [[ $type == 'dir' ]]; then
            COMPREPLY=()
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            COMPREPLY=()
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=($value)
        fi
    done

    return 0
}

_satellite_osp_cleanup_completion_setup() {
    complete -o nosort -F _satellite_osp_cleanup_completion satellite-osp-cleanup
}

_satellite_osp_cleanup_completion_setup;

# Environment modules as sites have them: a shell function that evaluates what modulecmd says, or, where that is
# not installed, what this stands in for it: `module load NAME` reads modulefiles/NAME, and lists what is loaded.
type module >/dev/null 2>&1 || [ ! -e /etc/profile.d/modules.sh ] || . /etc/profile.d/modules.sh
type module >/dev/null 2>&1 || module() {
    case $1 in
        use) export MODULEPATH=$2 ;;
        load) while read -r verb name value; do
            case $verb in
                prepend-path) export "$name=$value${!name:+:${!name}}" ;;
                setenv) export "$name=$value" ;;
            esac
        done <"$MODULEPATH/$2"; export LOADEDMODULES="${LOADEDMODULES:+$LOADEDMODULES:}$2" ;;
    esac
}

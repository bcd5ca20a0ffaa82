#!/bin/bash
# recipe.sh ROOT ETC: what the lab's root needs beyond its packages. Run once by
# mmdebstrap when the root is built, with the lab's configuration files in ETC.
set -eu
root=$1
etc=$2

printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
printf '127.0.0.1 localhost ctl\n' >"$root/etc/hosts"

chroot "$root" /bin/bash -eu <<'END'
useradd --create-home --uid 1000 --shell /bin/bash alice
useradd --create-home --uid 1001 --shell /bin/bash bob
useradd --system --uid 990 --home-dir /var/lib/holdfast --shell /usr/sbin/nologin holdfast
END

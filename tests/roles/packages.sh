# Part of tests/roles/play: roles that install packages.
# shellcheck shell=bash
# shellcheck disable=SC2016,SC2154 # what stands in quotes is jq's; play sets the rest

# Roles that install packages do so in a copy of this machine, its programs too, from a source on disk.
copy_machine() {
    local directory packages=${XDG_CACHE_HOME:-$HOME/.cache}/zuul-images copy=/srv/copy/root
    mkdir -p /srv/copy/{upper,work,root}
    mount -t overlay copy -o lowerdir=/,upperdir=/srv/copy/upper,workdir=/srv/copy/work "$copy"
    for directory in /proc /dev /sys "$PWD" "$packages" "$work"; do
        mkdir -p "$copy$directory"
        mount --rbind "$directory" "$copy$directory"
    done
    # Where apt's own user may read it.
    mkdir -p "$copy/srv/packages"
    mount --bind "$packages/packages" "$copy/srv/packages"
    rm -rf "$copy"/etc/apt/sources.list* "$copy"/var/lib/apt/lists
    mkdir -p "$copy/etc/apt/sources.list.d" "$copy"/var/lib/apt/lists/{partial,auxfiles}
    echo "deb [trusted=yes] file:/srv/packages ./" >"$copy/etc/apt/sources.list"
    # Lists that are new, or a stamp of this machine, would say that nothing has to be read.
    rm -f "$copy/var/lib/apt/periodic/update-success-stamp"
    touch -d @0 "$copy/var/lib/apt/lists"
    # No package starts its service.
    printf '#!/bin/sh\nexit 101\n' >"$copy/usr/sbin/policy-rc.d"
    chmod 755 "$copy/usr/sbin/policy-rc.d"
    cat >"$work/ansible-playbook-in-copy" <<END
#!/bin/sh
exec chroot $copy env -C "$PWD" PATH=/usr/sbin:/usr/bin:/sbin:/bin $ANSIBLE_PLAYBOOK "\$@"
END
    chmod 755 "$work/ansible-playbook-in-copy"
}
copy_machine
ANSIBLE_PLAYBOOK=$work/ansible-playbook-in-copy test_playbook packages

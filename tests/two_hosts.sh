#!/bin/sh
# two_hosts.sh COMMAND... - runs it on the first of two hosts that are network namespaces of this machine, near (10.77.0.1)
# and far (10.77.0.2), one cable between them. Exit status 77: such are not allowed here. For the command: $NEAR and $FAR
# name the namespaces, $AGENT is what mpirun reaches the other host with in ssh's place.
set -u
NEAR=gossamer-near-$$ FAR=gossamer-far-$$ AGENT=$(mktemp) || exit 1
export NEAR FAR AGENT
end() { ip netns delete "$NEAR" 2> /dev/null; ip netns delete "$FAR" 2> /dev/null; rm -f "$AGENT"; }
trap end EXIT
trap 'exit 1' INT TERM
[ "$(id -u)" = 0 ] && ip netns add "$NEAR" 2> /dev/null && ip netns add "$FAR" 2> /dev/null &&
    ip link add cable netns "$NEAR" type veth peer name cable netns "$FAR" 2> /dev/null || exit 77
ip -n "$NEAR" address add 10.77.0.1/24 dev cable
ip -n "$FAR" address add 10.77.0.2/24 dev cable
for host in "$NEAR" "$FAR"; do ip -n "$host" link set lo up; ip -n "$host" link set cable up; done
# ssh's place: options, the host, the command. The other host has a name of its own, as mpirun expects.
cat > "$AGENT" << 'EOF'
#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
shift
exec ip netns exec "$FAR" unshare --uts sh -c 'hostname far; exec sh -c "$1"' agent "$*"
EOF
chmod +x "$AGENT"
ip netns exec "$NEAR" unshare --uts sh -c 'hostname near; exec "$@"' two_hosts "$@"

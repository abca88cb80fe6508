#!/bin/sh
# full: one model over several processes of mpirun: the same answers as from one, to the last digit; a process that dies or stops, hosts that lose each other; what waiting costs
# cores 1, build all
set -u
make -s -j"$JOBS" all || exit 1
if [ ! -f "$V/gossamer_mpi.so" ] || ! command -v mpirun > /dev/null; then
    echo "SKIP pipeline: OpenMPI is not installed (libopenmpi-dev, openmpi-bin)"; echo "0 passed, 0 failed, 1 skipped"; exit 0
fi
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT INT TERM
# Containers have one core and root alone; mpirun is told not to mind. RANKS=0: without it. When a process has ended with
# an error mpirun waits twice for KILL_AFTER seconds: long ones are for tests in which it sends SIGTERM to rank 0 before.
cat > "$tmp/ranks" << 'END'
#!/bin/sh
[ "$RANKS" -gt 0 ] || exec "$PROGRAM" "$@"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl=self,vader,tcp OMPI_MCA_odls_base_sigkill_timeout=${KILL_AFTER:-1}
exec mpirun --bind-to none -n "$RANKS" "$PROGRAM" "$@"
END
chmod +x "$tmp/ranks"
export PROGRAM=$PWD/$V/gossamer GOSSAMER=$tmp/ranks
bad=0
timeout 600 node tests/http/pipeline_test.mjs || bad=1
# Two hosts, which mpirun reaches without ssh.
cat > "$tmp/hosts" << 'END'
#!/bin/sh
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_odls_base_sigkill_timeout=7
export OMPI_MCA_oob_tcp_keepalive_time=1 OMPI_MCA_oob_tcp_keepalive_intvl=1 OMPI_MCA_oob_tcp_keepalive_probes=2
exec mpirun --bind-to none --mca plm_rsh_agent "$AGENT" --host 10.77.0.1:2,10.77.0.2:2 -n "$RANKS" "$PROGRAM" "$@"
END
chmod +x "$tmp/hosts"
GOSSAMER=$tmp/hosts timeout 300 sh tests/two_hosts.sh node tests/http/cut_test.mjs
case $? in 0) ;; 77) echo "SKIP two hosts: network namespaces are not allowed here"; echo "hosts: 0 passed, 0 failed, 1 skipped";; *) bad=1;; esac
exit $bad

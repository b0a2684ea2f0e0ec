"""A real SLURM on this host, started and stopped by the tests: munged, slurmctld and slurmd."""

import getpass
import os
import re
import secrets
import socket
import subprocess
import time
from pathlib import Path

DAEMONS = ("/usr/sbin/munged", "/usr/sbin/slurmctld", "/usr/sbin/slurmd")
NODE = "node1"

# Finished jobs stay in the controller's memory for an hour: they are the record of what ran.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,batch_sched_delay=0,sched_min_interval=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobcomp.txt
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
MinJobAge=3600
KillWait=2
EnforcePartLimits=ALL
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes={node} Default=YES MaxTime=24:00:00 State=UP
PartitionName=gpu Nodes={node} MaxTime=24:00:00 State=UP
"""


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """One node with two CPUs and one (pretended) GPU."""

    def __init__(self, folder: Path, cpus: int = 2, memory_mb: int = 64000):
        self.folder = folder
        for name in ("state", "spool", "log", "run", "munge", "bin"):
            (folder / name).mkdir(parents=True)
        (folder / "munge").chmod(0o700)
        (folder / "run").chmod(0o755)
        # munged refuses a socket that others cannot reach.
        for parent in (folder, *folder.parents):
            if parent.stat().st_uid == os.getuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o055)
        key = folder / "munge/munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self.configuration = folder / "slurm.conf"
        self.configuration.write_text(
            CONFIGURATION.format(
                host=socket.gethostname().split(".")[0],
                user=getpass.getuser(),
                folder=folder,
                port=free_port(),
                node=NODE,
                node_port=free_port(),
                cpus=cpus,
                memory=memory_mb,
            )
        )
        (folder / "gres.conf").write_text(f"NodeName={NODE} Name=gpu File=/dev/null\n")
        # A job step starts without SLURM_CONF.
        srun = folder / "bin/srun"
        srun.write_text(
            f'#!/bin/sh\nexport SLURM_CONF={self.configuration}\nexec /usr/bin/srun "$@"\n'
        )
        srun.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SLURM_CONF": str(self.configuration),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }

    def command(self, *arguments: str) -> str:
        return subprocess.run(
            arguments,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout

    def start(self) -> None:
        munge = self.folder / "munge"
        self.command(
            DAEMONS[0],
            f"--key-file={munge / 'munge.key'}",
            f"--socket={self.folder / 'run/munge.sock'}",
            f"--pid-file={self.folder / 'run/munged.pid'}",
            f"--log-file={munge / 'munged.log'}",
            f"--seed-file={munge / 'munged.seed'}",
        )
        self.command(DAEMONS[1], "-f", str(self.configuration), "-c")
        self.command(DAEMONS[2], "-f", str(self.configuration), "-N", NODE)
        end = time.monotonic() + 60
        while "idle" not in self._node_state():
            if time.monotonic() > end:
                logs = "\n".join(log.read_text()[-3000:] for log in self.folder.glob("log/*.log"))
                raise RuntimeError(f"the cluster did not come up:\n{logs}")
            time.sleep(0.5)

    def _node_state(self) -> str:
        try:
            return self.command("sinfo", "-h", "-p", "main", "-o", "%T")
        except subprocess.SubprocessError:
            return ""

    def stop(self) -> None:
        for name in ("slurmd", "slurmctld", "munged"):
            pid_file = self.folder / f"run/{name}.pid"
            if pid_file.exists():
                pid = int(pid_file.read_text())
                os.kill(pid, 15)
                for _ in range(40):
                    if not Path(f"/proc/{pid}").exists():
                        break
                    time.sleep(0.25)

    def jobs(self) -> list[dict[str, str]]:
        """Give SLURM's record of every job, an array's tasks one by one."""
        lines = self.command("scontrol", "--oneliner", "show", "job").splitlines()
        return [
            dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if line.startswith("JobId=")
        ]

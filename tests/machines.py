"""Machines to detect, each a probe over what its files, commands and libraries give."""

from types import SimpleNamespace

from tonnage.hardware.detect import Probe, Ran
from tonnage.units import GIB, MIB

MEMINFO = "MemTotal:       131072000 kB\nMemFree:         1000000 kB\nMemAvailable:   120000000 kB\n"


def probe(system="linux", files=(), commands=(), modules=(), env=()):
    """A probe that knows the files, commands (by their joined words), packages and variables that are given."""
    files, commands, modules = dict(files), dict(commands), dict(modules)

    def names(folder):
        return sorted({path[len(folder) + 1 :].split("/")[0] for path in files if path.startswith(folder + "/")})

    def run(words):
        found = commands.get(" ".join(words), commands.get(words[0]))
        return Ran(0, found) if isinstance(found, str) else found

    return Probe(system, files.get, names, run, modules.get, dict(env).get)


# --- NVIDIA ---------------------------------------------------------------------------------------


class NVMLError(Exception):
    """What NVML raises."""


NVMLError_LibraryNotFound = type("NVMLError_LibraryNotFound", (NVMLError,), {})


class Nvml:
    """A stand-in for `pynvml`: GPUs are rows of (name, total MiB, free MiB, {pid: MiB}); None is not supported."""

    nvmlMemory_v2 = 0x2000028  # noqa: N815
    NVMLError = NVMLError

    def __init__(self, *gpus, error=None):
        self.gpus = gpus
        self.error = error

    def nvmlInit(self):
        """Start, or fail as a driver does."""
        if self.error:
            raise self.error

    def nvmlShutdown(self):
        """Stop."""

    def nvmlSystemGetDriverVersion(self):
        """As of a driver of 2026."""
        return "580.65.06"

    def nvmlDeviceGetCount(self):
        """How many there are."""
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, i):
        """A handle is the row."""
        return self.gpus[i]

    def nvmlDeviceGetName(self, handle):
        """Old releases give bytes."""
        return handle[0].encode()

    def nvmlDeviceGetMemoryInfo(self, handle, version):
        """The second version keeps the reserve apart."""
        assert version == self.nvmlMemory_v2
        if handle[1] is None:
            raise NVMLError("Not Supported")
        return SimpleNamespace(total=handle[1] * MIB, free=handle[2] * MIB)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        """Who computes."""
        return [SimpleNamespace(pid=pid, usedGpuMemory=mib * MIB) for pid, mib in handle[3].items()]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle):
        """Not told in a container."""
        raise NVMLError("Not Supported")

    def nvmlDeviceGetMaxClockInfo(self, handle, clock):
        """MHz of the memory, as an RTX 5090 has it."""
        assert clock == 2
        return 14001

    def nvmlDeviceGetMemoryBusWidth(self, handle):
        """Bits."""
        return 512

    def nvmlDeviceGetMigMode(self, handle):
        """Now, and after a restart."""
        return (int("MIG" in handle[0]), 0)

    def nvmlDeviceGetDisplayActive(self, handle):
        """None."""
        return 0


SMI_GPUS = (
    "nvidia-smi --query-gpu=index,uuid,name,memory.total,memory.free,display_active,driver_version,compute_cap --format=csv,noheader,nounits"
)
SMI_HOLDERS = "nvidia-smi --query-compute-apps=gpu_uuid,pid,process_name,used_memory --format=csv,noheader,nounits"
SMI_DEAD = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed."
LINUX = {"/proc/meminfo": MEMINFO, "/proc/77/comm": "llama-server\n"}
TWO_3090 = Nvml(("NVIDIA GeForce RTX 3090", 24576, 24118, {}), ("NVIDIA GeForce RTX 3090", 24576, 13000, {77: 11000}))
NVML = probe(files=LINUX, modules={"pynvml": TWO_3090})
NVML_ONE_VISIBLE = probe(files=LINUX, modules={"pynvml": TWO_3090}, env={"CUDA_VISIBLE_DEVICES": "1"})
SMI = probe(
    files=LINUX,
    commands={
        SMI_GPUS: "0, GPU-aa, NVIDIA GeForce RTX 5090, 32607, 31000, Enabled, 580.65.06, 12.0\n"
        "1, GPU-bb, NVIDIA H100 80GB HBM3, 81559, 81000, Disabled, 580.65.06, 9.0\n",
        SMI_HOLDERS: "GPU-aa, 4711, /usr/bin/blender, 1100\n",
    },
)
GB10 = probe(files=LINUX, modules={"pynvml": Nvml(("NVIDIA GB10", None, None, {}))})
UNKNOWN_CARD = probe(files=LINUX, modules={"pynvml": Nvml(("NVIDIA RTX 9999", 65536, 65000, {}))})
MIG = probe(files=LINUX, modules={"pynvml": Nvml(("NVIDIA H100 80GB HBM3 MIG", 81559, 80000, {}))})
DEAD_DRIVER = probe(files=LINUX, commands={"nvidia-smi": Ran(9, SMI_DEAD)})
DEAD_NVML = probe(files=LINUX, modules={"pynvml": Nvml(error=NVMLError("Driver/library version mismatch"))})
NO_LIBRARY = probe(files=LINUX, modules={"pynvml": Nvml(error=NVMLError_LibraryNotFound("NVML Shared Library Not Found"))})
CONTAINER = probe(
    files={
        **LINUX,
        "/sys/class/drm/card0/device/vendor": "0x10de\n",
        "/sys/fs/cgroup/memory.max": f"{16 * GIB}\n",
        "/sys/fs/cgroup/memory.current": f"{6 * GIB}\n",
        "/sys/fs/cgroup/memory.stat": f"anon 1\ninactive_file {2 * GIB}\n",
    }
)

# --- AMD, Intel -----------------------------------------------------------------------------------


def amd(chip, vram_mib, vram_used_mib, gtt_mib, gtt_used_mib, card=1):
    """The files of amdgpu."""
    folder = f"/sys/class/drm/card{card}/device"
    pools = {"vram_total": vram_mib, "vram_used": vram_used_mib, "gtt_total": gtt_mib, "gtt_used": gtt_used_mib}
    return {
        f"{folder}/vendor": "0x1002\n",
        f"{folder}/device": f"{chip}\n",
        **{f"{folder}/mem_info_{name}": f"{mib * MIB}\n" for name, mib in pools.items()},
        f"/sys/class/drm/card{card}-DP-1/status": "connected\n",
    }


XTX = probe(files={**LINUX, **amd("0x744c", 24560, 560, 64000, 20)})
STRIX_HALO = probe(files={**LINUX, **amd("0x1586", 512, 100, 63969, 969)})
STRIX_HALO_CARVED = probe(files={"/proc/meminfo": "MemTotal: 32505856 kB\nMemAvailable: 30000000 kB\n", **amd("0x1586", 98304, 304, 15872, 0)})
AMD_UNKNOWN = {**LINUX, **amd("0x7551", 32624, 24, 64000, 0)}
AMDSMI = SimpleNamespace(
    amdsmi_init=lambda: None,
    amdsmi_get_processor_handles=lambda: ["handle"],
    amdsmi_get_gpu_asic_info=lambda handle: {"market_name": "AMD Radeon AI PRO R9700"},
)
AMD_BY_AMDSMI = probe(files=AMD_UNKNOWN, modules={"amdsmi": AMDSMI})
AMD_NAMELESS = probe(files=AMD_UNKNOWN)
ARC = probe(
    files={
        **LINUX,
        "/sys/class/drm/card0/device/vendor": "0x8086\n",
        "/sys/class/drm/card0/device/device": "0xe20b\n",
        "/sys/class/drm/card0/device/resource": "0x0000000083000000 0x0000000083ffffff 0x0000000000140204\n"
        "0x0000004000000000 0x00000042ffffffff 0x000000000014220c\n",
    }
)

# --- Apple ----------------------------------------------------------------------------------------


def mac(chip, gib, cores, version, limit_mib=0):
    """The commands of a Mac; a quarter of its memory is free."""
    page = 16384
    return probe(
        "macos",
        commands={
            "sysctl -n hw.memsize": f"{gib * GIB}\n",
            "sysctl -n machdep.cpu.brand_string": f"{chip}\n",
            "sysctl -n iogpu.wired_limit_mb": f"{limit_mib}\n",
            "sw_vers -productVersion": f"{version}\n",
            "system_profiler SPDisplaysDataType -json": f'{{"SPDisplaysDataType": [{{"sppci_cores" : "{cores}"}}]}}',
            "vm_stat": f"Mach Virtual Memory Statistics: (page size of {page} bytes)\nPages free: {gib * GIB // page // 8}.\n"
            f"Pages active: 99.\nPages inactive: {gib * GIB // page // 8}.\n",
        },
    )


M4_MAX = mac("Apple M4 Max", 128, 40, "26.1")
M3_PRO = mac("Apple M3 Pro", 36, 14, "15.6", limit_mib=30000)

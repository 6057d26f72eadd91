// CUDA devices that are not there: a ggml backend that computes nothing and answers as ggml-cuda does.
// engine.inc holds ggml-cuda's own functions (extract.py); what they ask of a GPU stands here.
//
// EMULATED_MIB=24000,12000   free memory of each device
// EMULATED_CC=890            compute capability of all, x 100

#define GGML_BACKEND_DL
#include "ggml-backend-impl.h"
#include "ggml-backend.h"
#include "ggml-impl.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <vector>

// --- constants of ggml-cuda's headers -------------------------------------------------------------

#define QK_K 256
#define MATRIX_ROW_PADDING 512
#define FATTN_KQ_STRIDE 256
#define FLASH_ATTN_AVAILABLE
#define GGML_CUDA_USE_CUB
#define GGML_CUDA_CC_VOLTA 700
#define GGML_CUDA_CC_TURING 750
#define GGML_CUDA_CC_ADA_LOVELACE 890
#define GGML_CUDA_CC_OFFSET_AMD 0x1000000
#define GGML_CUDA_CC_QY2 220
#define GGML_CUDA_CC_IS_AMD(cc) false
#define GGML_CUDA_CC_IS_QY1(cc) false
#define GGML_CUDA_CC_IS_MTHREADS(cc) false

// --- the devices ----------------------------------------------------------------------------------

constexpr int MAX_DEVICES = 16;

struct gpu {
    int    cc         = 890;
    size_t smpb       = 49152;
    bool   integrated = false;
    size_t memory     = 0;
};

struct gpus {
    int device_count = 0;
    gpu devices[MAX_DEVICES];
};

static gpus from_environment() {
    gpus         found;
    const char * memory = getenv("EMULATED_MIB");
    const char * cc     = getenv("EMULATED_CC");
    const std::string given = memory ? memory : "";
    for (size_t at = 0; at < given.size();) {
        const size_t end = std::min(given.find(',', at), given.size());
        gpu & device  = found.devices[found.device_count++];
        device.memory = std::stoull(given.substr(at, end - at)) << 20;
        device.cc     = cc ? atoi(cc) : device.cc;
        at = end + 1;
    }
    return found;
}

static gpus & ggml_cuda_info() {
    static gpus info = from_environment();
    return info;
}

static void ggml_cuda_set_device(int) {}
static bool turing_mma_available(int cc) { return cc >= GGML_CUDA_CC_TURING; }
static bool volta_mma_available(int cc) { return cc == GGML_CUDA_CC_VOLTA; }
static bool amd_mfma_available(int) { return false; }
static bool amd_wmma_available(int) { return false; }

// which of two kernels decodes sparse attention: both take the same memory
static bool ggml_cuda_flash_attn_ext_mma_f16_may_use_sparse(int64_t, int64_t, int, int) { return false; }
static bool ggml_cuda_flash_attn_ext_mma_f16_shall_use_sparse(int, const ggml_tensor *, int, int) { return false; }

// the pairs of types that a default build compiles a vector kernel for
typedef void (*fattn_vec_case_t)();
static void compiled_kernel() {}
static fattn_vec_case_t ggml_cuda_get_fattn_vec_case(int64_t head, ggml_type k, ggml_type v) {
    k = k == GGML_TYPE_F32 ? GGML_TYPE_F16 : k;
    v = v == GGML_TYPE_F32 ? GGML_TYPE_F16 : v;
    const bool compiled = k == GGML_TYPE_F16 || k == GGML_TYPE_BF16 || k == GGML_TYPE_Q4_0 || k == GGML_TYPE_Q8_0;
    return (head == 64 || head == 128 || head == 256) && k == v && compiled ? compiled_kernel : nullptr;
}

struct ggml_backend_cuda_context { int device; std::string name; };
struct ggml_backend_cuda_buffer_type_context { int device; std::string name; };
struct ggml_backend_cuda_device_context { int device; std::string name; std::string pci; int op_offload_min_batch_size; };

static const char * buft_name(ggml_backend_buffer_type_t buft) {
    return ((ggml_backend_cuda_buffer_type_context *) buft->context)->name.c_str();
}

static bool ggml_backend_buft_is_cuda(ggml_backend_buffer_type_t buft) { return buft->iface.get_name == buft_name; }

#include "engine.inc"

// --- buffers: addresses without memory behind them ------------------------------------------------

static ggml_backend_reg_t the_reg();

static void * addresses(size_t size) {
    return mmap(nullptr, std::max<size_t>(size, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void   buffer_free(ggml_backend_buffer_t buffer) { munmap(buffer->context, std::max<size_t>(buffer->size, 1)); }
static void * buffer_base(ggml_backend_buffer_t buffer) { return buffer->context; }
static void   buffer_memset(ggml_backend_buffer_t, ggml_tensor *, uint8_t, size_t, size_t) {}
static void   buffer_set(ggml_backend_buffer_t, ggml_tensor *, const void *, size_t, size_t) {}
static void   buffer_get(ggml_backend_buffer_t, const ggml_tensor *, void * data, size_t, size_t size) { memset(data, 0, size); }
static void   buffer_clear(ggml_backend_buffer_t, uint8_t) {}

static const ggml_backend_buffer_i BUFFER = {
    buffer_free, buffer_base, NULL, buffer_memset, buffer_set, buffer_get, NULL, NULL, NULL, buffer_clear, NULL,
};

static ggml_backend_buffer_t buft_alloc(ggml_backend_buffer_type_t buft, size_t size) {
    return ggml_backend_buffer_init(buft, BUFFER, addresses(size), size);
}

static size_t buft_alignment(ggml_backend_buffer_type_t) { return 128; }

static const ggml_backend_buffer_type_i BUFT = {
    buft_name, buft_alloc, NULL, buft_alignment, NULL, ggml_backend_cuda_buffer_type_get_alloc_size, NULL, NULL,
};

static ggml_backend_buffer_type_t buft_of(int device) {
    static std::vector<ggml_backend_buffer_type> types;
    for (int i = types.size(); i < ggml_cuda_info().device_count; i++) {
        types.reserve(MAX_DEVICES);
        auto * context = new ggml_backend_cuda_buffer_type_context{ i, "CUDA" + std::to_string(i) };
        types.push_back({ BUFT, ggml_backend_reg_dev_get(the_reg(), i), context });
    }
    return &types[device];
}

static const char * host_name(ggml_backend_buffer_type_t) { return "CUDA_Host"; }

static ggml_backend_buffer_t host_alloc(ggml_backend_buffer_type_t buft, size_t size) {
    ggml_backend_buffer_t buffer = ggml_backend_cpu_buffer_from_ptr(addresses(size), size);
    buffer->buft                 = buft;
    buffer->iface.free_buffer    = buffer_free;
    return buffer;
}

static ggml_backend_buffer_type_t host_buft(ggml_backend_dev_t) {
    const ggml_backend_buffer_type_i & cpu = ggml_backend_cpu_buffer_type()->iface;
    static ggml_backend_buffer_type host = {
        { host_name, host_alloc, NULL, cpu.get_alignment, NULL, cpu.get_alloc_size, NULL, cpu.is_host },
        ggml_backend_reg_dev_get(the_reg(), 0), NULL,
    };
    return &host;
}

// --- backend --------------------------------------------------------------------------------------

static const char * backend_name(ggml_backend_t backend) { return ((ggml_backend_cuda_context *) backend->context)->name.c_str(); }
static void         backend_free(ggml_backend_t backend) { delete backend; }
static void         backend_set(ggml_backend_t, ggml_tensor *, const void *, size_t, size_t) {}
static void         backend_get(ggml_backend_t, const ggml_tensor *, void *, size_t, size_t) {}
static bool         backend_copy(ggml_backend_t, ggml_backend_t, const ggml_tensor *, ggml_tensor *) { return true; }
static void         backend_synchronize(ggml_backend_t) {}
static ggml_status  backend_compute(ggml_backend_t, ggml_cgraph *) { return GGML_STATUS_SUCCESS; }
static void         backend_event(ggml_backend_t, ggml_backend_event_t) {}

static const ggml_backend_i BACKEND = {
    backend_name, backend_free, backend_set, backend_get, NULL, NULL, backend_copy, backend_synchronize, NULL, NULL, NULL, NULL,
    backend_compute, backend_event, backend_event, ggml_backend_cuda_graph_optimize,
};

// --- device ---------------------------------------------------------------------------------------

static ggml_backend_cuda_device_context * of(ggml_backend_dev_t dev) { return (ggml_backend_cuda_device_context *) dev->context; }

static const char * dev_name(ggml_backend_dev_t dev) { return of(dev)->name.c_str(); }
static const char * dev_description(ggml_backend_dev_t) { return "emulated"; }
static enum ggml_backend_dev_type dev_type(ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; }

static void dev_memory(ggml_backend_dev_t dev, size_t * free, size_t * total) { *free = *total = ggml_cuda_info().devices[of(dev)->device].memory; }

static void dev_props(ggml_backend_dev_t dev, ggml_backend_dev_props * props) {
    props->name        = dev_name(dev);
    props->description = dev_description(dev);
    props->type        = dev_type(dev);
    props->device_id   = of(dev)->pci.c_str();
    dev_memory(dev, &props->memory_free, &props->memory_total);
    props->caps = { /* async */ true, /* host_buffer */ true, /* buffer_from_host_ptr */ false, /* events */ true, /* mmap_support */ true };
}

static ggml_backend_t dev_init(ggml_backend_dev_t dev, const char *) {
    static ggml_guid guid = { 'e', 'm', 'u' };
    return new ggml_backend{ &guid, BACKEND, dev, new ggml_backend_cuda_context{ of(dev)->device, of(dev)->name } };
}

static ggml_backend_buffer_type_t dev_buft(ggml_backend_dev_t dev) { return buft_of(of(dev)->device); }

static bool dev_supports_buft(ggml_backend_dev_t dev, ggml_backend_buffer_type_t buft) { return ggml_backend_buft_is_cuda(buft) && buft->device == dev; }

static bool dev_offloads(ggml_backend_dev_t dev, const ggml_tensor * op) { return get_op_batch_size(op) >= of(dev)->op_offload_min_batch_size; }

static ggml_backend_event_t event_new(ggml_backend_dev_t dev) { return new ggml_backend_event{ dev, nullptr }; }
static void event_free(ggml_backend_dev_t, ggml_backend_event_t event) { delete event; }
static void event_synchronize(ggml_backend_dev_t, ggml_backend_event_t) {}

static const ggml_backend_device_i DEVICE = {
    dev_name, dev_description, dev_memory, dev_type, dev_props, dev_init, dev_buft, host_buft, NULL,
    ggml_backend_cuda_device_supports_op, dev_supports_buft, dev_offloads, event_new, event_free, event_synchronize,
};

// --- registry -------------------------------------------------------------------------------------

static std::vector<ggml_backend_dev_t> all;

static const char *       reg_name(ggml_backend_reg_t) { return "CUDA"; }
static size_t             reg_count(ggml_backend_reg_t) { return all.size(); }
static ggml_backend_dev_t reg_device(ggml_backend_reg_t, size_t i) { return all[i]; }
static void *             reg_address(ggml_backend_reg_t, const char *) { return nullptr; }

static ggml_backend_reg_t the_reg() {
    static ggml_backend_reg reg = { GGML_BACKEND_API_VERSION, { reg_name, reg_count, reg_device, reg_address }, nullptr };
    for (int i = all.size(); i < ggml_cuda_info().device_count; i++) {
        const std::string n = std::to_string(i);
        all.push_back(new ggml_backend_device{ DEVICE, &reg, new ggml_backend_cuda_device_context{ i, "CUDA" + n, "0000:0" + n + ":00.0", 32 } });
    }
    return &reg;
}

// a build without loadable backends takes this one from LD_PRELOAD
static struct preloaded {
    preloaded() {
        if (getenv("EMULATED_MIB")) {
            ggml_backend_register(the_reg());
        }
    }
} registered;

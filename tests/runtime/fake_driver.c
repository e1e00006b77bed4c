/* NVIDIA's driver library as far as we use it, on the CPU's memory: what a stream is given runs when somebody waits for
   it, every call needs a current context, and what is alive is counted. Signatures and numbers are those of cuda.h. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_PERMITTED = 800, INVALID_CONTEXT = 201, NOT_FOUND = 500 };
typedef struct { void *to; const void *from; size_t size; void (*function)(void); } Work;
typedef struct { Work work[64]; int length; } Queue;

static int live, retained, capturing, refuses_streams;
static __thread int current;
static Queue queued, captured;
static size_t memory_left = 1 << 20;

static int queue(Work work) {
    Queue *target = capturing ? &captured : &queued;
    if (!current) return INVALID_CONTEXT;
    target->work[target->length++] = work;
    return SUCCESS;
}

static int allocate(void **memory, size_t size) {
    if (!current) return INVALID_CONTEXT;
    if (size > memory_left) return OUT_OF_MEMORY;
    live++;
    return (*memory = malloc(size)) ? SUCCESS : OUT_OF_MEMORY;
}

static int release(void *memory) {
    if (!current) return INVALID_CONTEXT;
    live--;
    free(memory);
    return SUCCESS;
}

/* For the test: everything that has not been given back, and a kernel. */
int fakeLive(void) { return live + retained; }
void fakeRefuseStreams(int refuse) { refuses_streams = refuse; }
int fakeCapturing(void) { return capturing; }
int fakeLaunch(void (*function)(void)) { return queue((Work){.function = function}); }

int cuInit(unsigned flags) { return SUCCESS; }
int cuDriverGetVersion(int *version) { *version = 12060; return SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return SUCCESS; }
int cuDeviceGetCount(int *count) { *count = 1; return SUCCESS; }
int cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "Fake Orin"); return SUCCESS; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = memory_left; return SUCCESS; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : 0; /* COMPUTE_CAPABILITY_MAJOR, _MINOR */
    return SUCCESS;
}
int cuDeviceComputeCapability(int *major, int *minor, int device) { *major = 8; *minor = 7; return SUCCESS; }
int cuDevicePrimaryCtxRetain(void **context, int device) { retained++; *context = &retained; return SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int device) { retained--; return SUCCESS; }
int cuCtxPushCurrent_v2(void *context) { current++; return SUCCESS; }
int cuCtxPopCurrent_v2(void **context) { current--; *context = &retained; return SUCCESS; }
int cuCtxGetCurrent(void **context) { *context = current ? &retained : NULL; return SUCCESS; }
int cuCtxGetDevice(int *device) { *device = 0; return SUCCESS; }

int cuMemAlloc_v2(uint64_t *address, size_t size) { return allocate((void **)address, size); }
int cuMemFree_v2(uint64_t address) { return release((void *)address); }
int cuMemAllocHost_v2(void **memory, size_t size) { return allocate(memory, size); }
int cuMemHostAlloc(void **memory, size_t size, unsigned flags) { return allocate(memory, size); }
int cuMemFreeHost(void *memory) { return release(memory); }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *stream) {
    return queue((Work){(void *)to, from, size});
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *stream) {
    return queue((Work){to, (void *)from, size});
}

int cuStreamCreate(void **stream, unsigned flags) {
    if (refuses_streams) return OUT_OF_MEMORY;
    live++;
    *stream = &queued;
    return current ? SUCCESS : INVALID_CONTEXT;
}
int cuStreamDestroy_v2(void *stream) { live--; return SUCCESS; }
int cuStreamSynchronize(void *stream) {
    if (!current) return INVALID_CONTEXT;
    if (capturing) return NOT_PERMITTED;
    for (int i = 0; i < queued.length; i++) {
        Work work = queued.work[i];
        if (work.function) work.function(); else memcpy(work.to, work.from, work.size);
    }
    queued.length = 0;
    return SUCCESS;
}

int cuStreamBeginCapture_v2(void *stream, int mode) {
    if (capturing || stream != &queued || mode != 1) return INVALID_VALUE;
    capturing = 1;
    captured.length = 0;
    return SUCCESS;
}
int cuStreamEndCapture(void *stream, void **graph) {
    if (!capturing) return INVALID_VALUE;
    capturing = 0;
    live++;
    memcpy(*graph = malloc(sizeof(Queue)), &captured, sizeof(Queue));
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    live++;
    memcpy(*executable = malloc(sizeof(Queue)), graph, sizeof(Queue));
    return SUCCESS;
}
int cuGraphLaunch(void *executable, void *stream) {
    Queue *graph = executable;
    if (!current || stream != &queued) return INVALID_CONTEXT;
    for (int i = 0; i < graph->length; i++) queued.work[queued.length++] = graph->work[i];
    return SUCCESS;
}
int cuGraphDestroy(void *graph) { return release(graph); }
int cuGraphExecDestroy(void *executable) { return release(executable); }

int cuGetErrorString(int error, const char **text) {
    *text = error == OUT_OF_MEMORY ? "out of memory" : error == INVALID_CONTEXT ? "invalid device context" : "invalid";
    return SUCCESS;
}

/* How cuda.bindings finds all of these: by their names without a version. */
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
    char versioned[128];
    snprintf(versioned, sizeof versioned, "%s_v2", name);
    Dl_info own;
    dladdr((void *)fakeLive, &own);
    void *library = dlopen(own.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    *function = dlsym(library, versioned);
    if (!*function) *function = dlsym(library, name);
    if (status) *status = *function ? 0 : 1;
    return *function ? SUCCESS : NOT_FOUND;
}

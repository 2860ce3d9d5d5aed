/* What the files of the fake have in common. */
#ifndef FAKE_H
#define FAKE_H

#include "abi.h"
#include "state.h"

/* shared.c: the mapped file */
struct fake_state *fake_map(const char *path);
struct fake_state *fake_private(void);
int fake_make(const char *path, const char *gpus, uint64_t seed);
void fake_unmap(struct fake_state *state);
void fake_lock(struct fake_state *state);
void fake_unlock(struct fake_state *state);
double fake_now(const struct fake_state *state);
uint64_t fake_wall_us(const struct fake_state *state, double now_s);
int fake_wait_on(uint32_t *word, uint32_t seen, unsigned milliseconds);
void fake_wake(uint32_t *word);

/* seats.c: which GPUs there are */
extern const struct fake_model fake_models[];
extern const unsigned fake_model_count;
int fake_seat(struct fake_state *state, const char *gpus, uint64_t seed);
void fake_forget_settings(struct fake_gpu *gpu);

/* physics.c */
void fake_settle(struct fake_state *state, struct fake_gpu *gpu);
unsigned fake_enforced_mw(const struct fake_gpu *gpu);
uint64_t fake_energy_mj(const struct fake_gpu *gpu);
void fake_busy(const struct fake_gpu *gpu, unsigned gpu_instance, struct fake_load *sum);

/* posting.c */
void fake_post(struct fake_state *state, unsigned slot, uint64_t type, uint64_t data,
               unsigned gpu_instance, unsigned compute_instance);

/* faults.c: what strikes a call. Waits, where it has to, without holding the lock. */
struct fake_strike {
    nvml_result error;
    int lies;
};
enum { FAULT_SLOW = 1, FAULT_HANG, FAULT_HANG_IN_D, FAULT_ERROR, FAULT_LIE };
struct fake_strike fake_strike(struct fake_state *state, const char *function, unsigned slot);
void fake_count(struct fake_state *state, const char *function, unsigned slot);
struct fake_function *fake_function(struct fake_state *state, const char *name);

/* attach.c: this process and the driver */
struct fake_state *fake_attached(void);
unsigned fake_enumerated(unsigned *slots);
unsigned fake_epoch(void);
nvml_result fake_still_attached(const struct fake_state *state);

/* handles.c. A handle is a number, never an address: what was kept from before the last nvmlInit is
 * told from what is valid now, and nothing that a client hands in is followed. */
#define NO_INSTANCE 0xffff
struct fake_place {
    unsigned slot, gpu_instance, compute_instance;
};
nvml_device fake_device_handle(unsigned slot, unsigned gpu_instance, unsigned compute_instance);
nvml_instance fake_instance_handle(unsigned slot, unsigned gpu_instance, unsigned compute_instance);
int fake_device_place(nvml_device device, struct fake_place *place);
int fake_instance_place(nvml_instance instance, struct fake_place *place);
void fake_mig_uuid(const struct fake_gpu *gpu, unsigned gi, unsigned ci, char uuid[48]);

/* calls.c: how every call on a GPU begins and ends */
enum fake_reach { WHOLE_GPU, GPU_OR_INSTANCE };
struct fake_call {
    nvml_result result;
    int lies;
    struct fake_state *state;
    struct fake_gpu *gpu;
    struct fake_place place;
};
struct fake_call fake_begin(const char *function, nvml_device device, enum fake_reach reach);
struct fake_call fake_begin_instance(const char *function, nvml_instance instance);
struct fake_call fake_begin_system(const char *function);
nvml_result fake_may_write(const struct fake_state *state);
void fake_end(struct fake_call *call);

#define ENDS __attribute__((cleanup(fake_end)))

/* Opens a call: counts it, lets faults strike, locks, brings the GPU up to now. */
#define ON(device, reach)                                                  \
    ENDS struct fake_call call = fake_begin(__func__, (device), (reach)); \
    if (call.result != OK)                                                 \
        return call.result;                                                \
    struct fake_gpu *gpu = call.gpu;                                       \
    (void)gpu

#define ON_GPU(device) ON(device, WHOLE_GPU)
#define ON_ANY(device) ON(device, GPU_OR_INSTANCE)

/* A call that changes something: refused without the privilege; a lie says OK and does nothing. */
#define ON_GPU_TO_WRITE(device)                             \
    ON_GPU(device);                                         \
    if ((call.result = fake_may_write(call.state)) != OK)   \
        return call.result;                                 \
    if (call.lies)                                          \
    return OK

#define NEED(pointer)          \
    if (!(pointer))            \
    return INVALID_ARGUMENT
#define SUPPORTED(condition)   \
    if (!(condition))          \
    return NOT_SUPPORTED

nvml_result fake_put_string(char *to, unsigned size, const char *from);

/* What several files answer from. */
unsigned fake_percent(double value);
unsigned fake_pcie_generation(const struct fake_gpu *gpu);
unsigned fake_pcie_width(const struct fake_gpu *gpu);
uint64_t fake_memory_total(const struct fake_gpu *gpu);
uint64_t fake_memory_in_use(const struct fake_gpu *gpu, unsigned gpu_instance);
uint64_t fake_ecc_total(const struct fake_gpu *gpu, unsigned type, unsigned counter);
unsigned fake_links_active(const struct fake_gpu *gpu);
uint64_t fake_retired_by(const struct fake_gpu *gpu, unsigned cause);
struct fake_gpu_instance *fake_gpu_instance(struct fake_gpu *gpu, unsigned id);
const struct fake_mig_profile *fake_mig_profile(const struct fake_gpu *gpu, unsigned profile);
nvml_result fake_read_field(struct fake_state *state, struct fake_gpu *gpu,
                            struct nvml_field *field);

/* driver.c, generated for each driver version */
extern const char fake_driver_version[];
extern const char fake_driver_branch[];
extern const char fake_nvml_version[];
extern const int fake_cuda_version;
extern const unsigned fake_field_limit;
extern const uint64_t fake_event_types;

#endif

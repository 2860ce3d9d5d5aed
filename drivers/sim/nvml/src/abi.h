/* The part of NVML's binary interface that the fake speaks, declared from what the Python binding
 * (nvidia-ml-py) passes. No vendor header is used; a test holds each size against the binding's. */
#ifndef FAKE_ABI_H
#define FAKE_ABI_H

#include <stdint.h>

#define NVML_EXPORT __attribute__((visibility("default")))

typedef unsigned nvml_result;
typedef void *nvml_device;
typedef void *nvml_instance;

enum {
    OK = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    TIMED_OUT = 10,
    GPU_IS_LOST = 15,
    OPERATING_SYSTEM_ERROR = 17,
    VERSION_MISMATCH = 18,
    IN_USE = 19,
    NO_MEMORY = 20,
    NO_DATA = 21,
    INSUFFICIENT_RESOURCES = 23,
    ARGUMENT_VERSION_MISMATCH = 25,
    UNKNOWN_ERROR = 999,
};

enum { REASON_IDLE = 1, REASON_USER_CLOCKS = 2, REASON_POWER_CAP = 4, REASON_HW_SLOWDOWN = 8 };
enum { REASON_SYNC_BOOST = 0x10, REASON_SW_THERMAL = 0x20, REASON_HW_THERMAL = 0x40 };
enum { REASON_POWER_BRAKE = 0x80 };
enum { ARCH_VOLTA = 5, ARCH_TURING = 6, ARCH_AMPERE = 7, ARCH_HOPPER = 9 };
enum { CLOCK_GRAPHICS, CLOCK_SM, CLOCK_MEMORY, CLOCK_VIDEO, CLOCK_KINDS };
enum { ECC_L1, ECC_L2, ECC_DRAM, ECC_REGISTERS, ECC_TEXTURE, ECC_TEXTURE_SHM, ECC_CBU, ECC_SRAM };
enum { EVENT_SBE = 1, EVENT_DBE = 2, EVENT_XID = 8, EVENT_RECOVERY = 0x8000 };

struct nvml_pci {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device, pci_subsystem;
    char bus_id[32];
};

struct nvml_pci_ext {
    unsigned version, domain, bus, device, pci_device, pci_subsystem, base_class, sub_class;
    char bus_id[32];
};

struct nvml_branch {
    unsigned version;
    char branch[80];
};

struct nvml_memory {
    unsigned long long total, free, used;
};

struct nvml_memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

struct nvml_utilization {
    unsigned gpu, memory;
};

struct nvml_process {
    unsigned pid;
    unsigned long long memory;
    unsigned gpu_instance, compute_instance;
};

struct nvml_process_detail {
    unsigned pid;
    unsigned long long memory;
    unsigned gpu_instance, compute_instance;
    unsigned long long protected_memory;
};

struct nvml_process_details {
    unsigned version, mode, count;
    struct nvml_process_detail *processes;
};

struct nvml_process_sample {
    unsigned pid;
    unsigned long long at_us;
    unsigned sm, memory, encoder, decoder;
};

struct nvml_process_utilization {
    unsigned long long at_us;
    unsigned pid, sm, memory, encoder, decoder, jpeg, ofa;
};

struct nvml_processes_utilization {
    unsigned version, count;
    unsigned long long since_us;
    struct nvml_process_utilization *samples;
};

struct nvml_accounting {
    unsigned gpu, memory;
    unsigned long long memory_bytes, time_ms, started_us;
    unsigned running, reserved[5];
};

struct nvml_temperature {
    unsigned version, sensor;
    int celsius;
};

struct nvml_margin {
    unsigned version;
    int celsius;
};

struct nvml_fan_speed {
    unsigned version, fan, rpm;
};

struct nvml_power_value {
    unsigned version, scope, milliwatts;
};

struct nvml_violation {
    unsigned long long reference_us, violation_ns;
};

struct nvml_ecc_counts {
    unsigned long long l1, l2, memory, registers;
};

struct nvml_sram_status {
    unsigned version;
    unsigned long long aggregate_parity, aggregate_secded, aggregate_corrected;
    unsigned long long volatile_parity, volatile_secded, volatile_corrected;
    unsigned long long bucket_l2, bucket_sm, bucket_pcie, bucket_mcu, bucket_other;
    unsigned exceeded;
};

struct nvml_remap_histogram {
    unsigned max, high, partial, low, none;
};

struct nvml_repair {
    unsigned version, channel_pending, tpc_pending;
};

union nvml_value {
    double d;
    unsigned ui;
    unsigned long ul;
    unsigned long long ull;
    long long sll;
    int si;
    unsigned short us;
};

struct nvml_field {
    uint32_t id, scope;
    int64_t at_us, latency_us;
    unsigned type;
    nvml_result result;
    union nvml_value value;
};

struct nvml_event {
    nvml_device device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};

struct nvml_fabric {
    uint8_t cluster[16];
    nvml_result status;
    uint32_t clique;
    unsigned state;
};

struct nvml_fabric_v3 {
    unsigned version;
    uint8_t cluster[16];
    nvml_result status;
    uint32_t clique;
    unsigned state;
    uint32_t health;
    uint8_t summary;
};

struct nvml_gpm_metric {
    unsigned id;
    nvml_result result;
    double value;
    const char *short_name, *long_name, *unit;
};

struct nvml_gpm_metrics {
    unsigned version, count;
    void *first, *second;
    struct nvml_gpm_metric metrics[];
};

struct nvml_gpm_support {
    unsigned version, supported;
};

struct nvml_placement {
    unsigned start, size;
};

struct nvml_gpu_profile {
    unsigned id, p2p, slices, instances, multiprocessors, copy_engines;
    unsigned decoders, encoders, jpegs, ofas;
    unsigned long long memory_mib;
};

struct nvml_gpu_profile_v2 {
    unsigned version, id, p2p, slices, instances, multiprocessors, copy_engines;
    unsigned decoders, encoders, jpegs, ofas;
    unsigned long long memory_mib;
    char name[96];
};

struct nvml_gpu_instance {
    nvml_device device;
    unsigned id, profile;
    struct nvml_placement placement;
};

struct nvml_compute_profile {
    unsigned id, slices, instances, multiprocessors, copy_engines, decoders, encoders, jpegs, ofas;
};

struct nvml_compute_profile_v2 {
    unsigned version;
    unsigned id, slices, instances, multiprocessors, copy_engines, decoders, encoders, jpegs, ofas;
    char name[96];
};

struct nvml_compute_instance {
    nvml_device device;
    nvml_instance gpu_instance;
    unsigned id, profile;
    struct nvml_placement placement;
};

struct nvml_attributes {
    unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, ofas;
    unsigned gpu_slices, compute_slices;
    unsigned long long memory_mib;
};

struct nvml_bar1 {
    unsigned long long total, free, used;
};

/* A versioned struct says its own size in the low 24 bits and its version above them. */
#define VERSION_OF(type, number) ((unsigned)(sizeof(type) | ((unsigned)(number) << 24)))

#endif

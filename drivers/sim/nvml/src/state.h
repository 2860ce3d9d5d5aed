/* What all processes share: one file, mapped by each of them.
 *
 * layout.py reads this header and makes the same structs in ctypes, so keep to its C: one
 * `#define NAME NUMBER` or one `TYPE name[N];` a line, fixed widths, no unions, no pointers. */
#ifndef FAKE_STATE_H
#define FAKE_STATE_H

#include <stdint.h>

#define FAKE_MAGIC 0x314c4d564e4b5453
#define MAX_GPUS 16
#define MAX_PROCESSES 32
#define MAX_LINKS 18
#define MAX_RETIRED 64
#define MAX_GPU_INSTANCES 7
#define MAX_COMPUTE_INSTANCES 14
#define MAX_MIG_PROFILES 8
#define MAX_FAULTS 32
#define MAX_EVENTS 256
#define MAX_FUNCTIONS 512
#define MAX_FIELDS 320
#define MAX_CLIENTS 64
#define MAX_ACCOUNTED 32
#define LOAD_KINDS 18
#define PERCENT_KINDS 14
#define VIOLATIONS 9
#define ECC_LOCATIONS 8
#define LINK_ERRORS 5
#define PCIE_ERRORS 11
#define ANY 0xffffffff

/* One MIG profile: `profile` is NVML's number of the kind, `id` what instances carry. */
struct fake_mig_profile {
    char name[16];
    uint32_t profile;
    uint32_t id;
    uint32_t slices;
    uint32_t memory_slices;
    uint32_t starts;
    uint32_t count;
    uint32_t multiprocessors;
    uint32_t copy_engines;
    uint32_t decoders;
    uint32_t memory_mib;
};

/* A GPU model: a table of models/ as it stands. `has_*` comes from the list `has` there. */
struct fake_model {
    char key[24];
    char name[64];
    char part[32];
    char vbios[32];
    char inforom[16];
    uint32_t brand;
    uint32_t architecture;
    uint32_t compute_major;
    uint32_t compute_minor;
    uint32_t cores;
    uint32_t memory_bus_bits;
    uint32_t pci_device;
    uint32_t pci_subsystem;
    uint32_t memory_mib;
    uint32_t reserved_mib;
    uint32_t bar1_mib;
    uint32_t power_default_mw;
    uint32_t power_min_mw;
    uint32_t power_max_mw;
    uint32_t power_idle_mw;
    uint32_t power_full_mw;
    uint32_t sm_idle_mhz;
    uint32_t sm_min_mhz;
    uint32_t sm_max_mhz;
    uint32_t sm_step_mhz;
    uint32_t memory_idle_mhz;
    uint32_t memory_max_mhz;
    uint32_t video_max_mhz;
    uint32_t idle_pstate;
    uint32_t ambient_c;
    uint32_t full_c;
    uint32_t heat_time_s;
    uint32_t operating_c;
    uint32_t slowdown_c;
    uint32_t shutdown_c;
    uint32_t memory_max_c;
    uint32_t fans;
    uint32_t pcie_generation;
    uint32_t pcie_width;
    uint32_t pcie_idle_generation;
    uint32_t links;
    uint32_t link_version;
    uint32_t link_mbps;
    uint32_t event_types;
    uint32_t has_accounting;
    uint32_t has_average_power;
    uint32_t has_codecs;
    uint32_t has_ecc;
    uint32_t has_energy;
    uint32_t has_fabric;
    uint32_t has_gpm;
    uint32_t has_jpeg;
    uint32_t has_link_counters;
    uint32_t has_locked_clocks;
    uint32_t has_locked_memory_clocks;
    uint32_t has_memory_temperature;
    uint32_t has_mig;
    uint32_t has_mig_without_reset;
    uint32_t has_pcie_counters;
    uint32_t has_power_limit;
    uint32_t has_power_readings;
    uint32_t has_process_utilisation;
    uint32_t has_recovery_action;
    uint32_t has_remapped_rows;
    uint32_t has_retired_pages;
    uint32_t has_serial;
    uint32_t has_sram_ecc;
    uint32_t has_temperature_margin;
    uint32_t mig_profile_count;
    struct fake_mig_profile mig_profiles[MAX_MIG_PROFILES];
};

/* What keeps a GPU busy. All doubles: physics.c treats it as an array of LOAD_KINDS, of which the
 * first PERCENT_KINDS end at 100. */
struct fake_load {
    double gpu_pct;
    double memory_pct;
    double encoder_pct;
    double decoder_pct;
    double jpeg_pct;
    double ofa_pct;
    double sm_active_pct;
    double sm_occupancy_pct;
    double tensor_pct;
    double dram_pct;
    double fp64_pct;
    double fp32_pct;
    double fp16_pct;
    double integer_pct;
    double pcie_tx_kib_s;
    double pcie_rx_kib_s;
    double nvlink_tx_kib_s;
    double nvlink_rx_kib_s;
};

struct fake_process {
    uint32_t pid;
    uint32_t kind;
    uint32_t gpu_instance;
    uint32_t compute_instance;
    uint64_t memory_bytes;
    double started_s;
    struct fake_load load;
};

struct fake_accounted {
    uint32_t pid;
    uint32_t running;
    uint32_t gpu_pct;
    uint32_t memory_pct;
    uint64_t memory_bytes;
    double started_s;
    double ended_s;
};

struct fake_gpu_instance {
    uint32_t used;
    uint32_t id;
    uint32_t profile;
    uint32_t start;
    uint32_t size;
    uint32_t padding;
    struct fake_load total;
};

struct fake_compute_instance {
    uint32_t used;
    uint32_t gpu_instance;
    uint32_t id;
    uint32_t profile;
    uint32_t start;
    uint32_t size;
};

struct fake_link {
    uint32_t active;
    uint32_t padding;
    uint64_t errors[LINK_ERRORS];
};

struct fake_retired {
    uint64_t address;
    uint64_t at_us;
    uint32_t cause;
    uint32_t padding;
};

/* Another hand on the power limit: writes the first limit, after a period the second, and so on. */
struct fake_rival {
    uint32_t limits_mw[2];
    uint32_t turn;
    uint32_t padding;
    double period_s;
    double next_s;
    uint64_t writes;
};

struct fake_gpu {
    struct fake_model model;
    char uuid[48];
    char serial[24];
    uint32_t pci_domain;
    uint32_t pci_bus;
    uint32_t minor;
    uint32_t module;
    uint32_t lost;
    uint32_t drained;
    uint32_t removed;
    uint32_t recovery_action;
    /* as steered */
    struct fake_load load;
    double pinned_power_w;
    double pinned_temperature_c;
    double pinned_memory_temperature_c;
    uint64_t forced_reasons;
    uint32_t pinned_pcie_generation;
    uint32_t pinned_pcie_width;
    uint32_t outside_cap_mw;
    uint32_t limit_step_mw;
    struct fake_rival rival;
    /* as ordered through NVML */
    uint32_t limit_mw;
    uint32_t locked_sm_min_mhz;
    uint32_t locked_sm_max_mhz;
    uint32_t locked_memory_min_mhz;
    uint32_t locked_memory_max_mhz;
    uint32_t persistence;
    uint32_t compute_mode;
    uint32_t ecc_mode;
    uint32_t ecc_pending;
    uint32_t mig_mode;
    uint32_t mig_pending;
    uint32_t accounting_mode;
    uint32_t fan_manual;
    uint32_t fan_target_pct;
    /* as physics has it */
    double settled_s;
    double power_w;
    double average_power_w;
    double temperature_c;
    double memory_temperature_c;
    double energy_j;
    double sm_mhz;
    double memory_mhz;
    uint64_t reasons;
    struct fake_load now;
    struct fake_load total;
    double violation_s[VIOLATIONS];
    /* memory, errors, links */
    uint64_t memory_base_bytes;
    uint64_t ecc[2][2][ECC_LOCATIONS];
    uint64_t pcie_errors[PCIE_ERRORS];
    uint32_t pcie_replays;
    uint32_t pcie_replay_rollovers;
    uint32_t remapped_corrected;
    uint32_t remapped_uncorrected;
    uint32_t remap_pending;
    uint32_t remap_failure;
    uint32_t remap_histogram[5];
    uint32_t retired_pending;
    uint32_t retired_count;
    uint32_t fabric_state;
    uint32_t fabric_status;
    uint32_t fabric_clique;
    uint32_t fabric_health;
    uint32_t fabric_summary;
    struct fake_retired retired[MAX_RETIRED];
    struct fake_link links[MAX_LINKS];
    /* who is on it */
    uint32_t process_count;
    uint32_t accounted_count;
    struct fake_process processes[MAX_PROCESSES];
    struct fake_accounted accounted[MAX_ACCOUNTED];
    struct fake_gpu_instance gpu_instances[MAX_GPU_INSTANCES];
    struct fake_compute_instance compute_instances[MAX_COMPUTE_INSTANCES];
};

/* What happens to calls: those of one function or of all, on one GPU or on all. `active` is a
 * serial number, 0 where the place is free; hung calls wait for it to change. */
struct fake_fault {
    uint32_t active;
    uint32_t kind;
    uint32_t slot;
    uint32_t value;
    uint32_t skip;
    uint32_t times;
    uint32_t seen;
    uint32_t strikes;
    char function[64];
};

struct fake_event {
    uint64_t type;
    uint64_t data;
    uint32_t slot;
    uint32_t gpu_instance;
    uint32_t compute_instance;
    uint32_t padding;
};

struct fake_function {
    char name[64];
    uint32_t calls;
    uint32_t delay_us;
    uint32_t calls_by_gpu[MAX_GPUS];
};

struct fake_state {
    uint64_t magic;
    uint64_t size;
    uint64_t lock[8];
    uint32_t gpu_count;
    uint32_t generation;
    uint32_t init_error;
    uint32_t writers;
    uint32_t order[MAX_GPUS];
    double created_s;
    double wall_at_creation_s;
    double clock_offset_s;
    double clock_frozen_s;
    uint32_t event_word;
    uint32_t fault_serial;
    uint64_t event_head;
    uint32_t gpm_samples;
    uint32_t padding;
    uint32_t clients[MAX_CLIENTS];
    struct fake_fault faults[MAX_FAULTS];
    struct fake_event events[MAX_EVENTS];
    struct fake_function functions[MAX_FUNCTIONS];
    uint32_t field_calls[MAX_FIELDS][MAX_GPUS];
    struct fake_gpu gpus[MAX_GPUS];
};

#endif

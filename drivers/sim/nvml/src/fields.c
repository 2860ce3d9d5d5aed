/* nvmlDeviceGetFieldValues: many readings in one call, each with a result of its own. */
#include "fields.h"

static nvml_result power_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    const struct fake_model *model = &gpu->model;
    SUPPORTED(model->has_power_readings);
    switch (field->id) {
    case 185:
        SUPPORTED(model->architecture >= ARCH_AMPERE);
        return put_small(field, (unsigned)(gpu->average_power_w * 1e3 + 0.5));
    case 186:
        SUPPORTED(model->architecture >= ARCH_AMPERE);
        return put_small(field, (unsigned)(gpu->power_w * 1e3 + 0.5));
    case 190:
        return put_small(field, fake_enforced_mw(gpu));
    default:
        break;
    }
    SUPPORTED(model->has_power_limit);
    unsigned limits[] = {model->power_min_mw, model->power_max_mw, model->power_default_mw};
    return put_small(field, field->id == 192 ? gpu->limit_mw : limits[field->id - 187]);
}

static nvml_result energy_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    SUPPORTED(gpu->model.has_energy);
    return put(field, fake_energy_mj(gpu));
}

/* How far each threshold lies below the one at which clocks are cut. */
static nvml_result margin_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    SUPPORTED(gpu->model.has_temperature_margin);
    const struct fake_model *model = &gpu->model;
    unsigned limits[] = {model->shutdown_c, model->slowdown_c, model->memory_max_c,
                         model->operating_c};
    return put_signed(field, (int)model->operating_c - (int)limits[field->id - 193]);
}

/* Nanoseconds, by the number of the reason's counter. */
static nvml_result violation_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    SUPPORTED(gpu->model.architecture >= ARCH_VOLTA);
    unsigned kind = field->id >= 269 ? field->id - 269 + 6 : field->id - 74;
    SUPPORTED(kind < VIOLATIONS && (field->id < 80 || field->id >= 269));
    return put(field, (uint64_t)(gpu->violation_s[kind] * 1e9));
}

static nvml_result pcie_traffic_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    SUPPORTED(gpu->model.has_pcie_counters);
    double kib = field->id == 197 ? gpu->total.pcie_tx_kib_s : gpu->total.pcie_rx_kib_s;
    return put(field, (uint64_t)(kib * 1024));
}

static nvml_result other_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    switch (field->id) {
    case 82:
        SUPPORTED(gpu->model.has_memory_temperature);
        return put_small(field, (unsigned)(gpu->memory_temperature_c + 0.5));
    case 94:
        return put_small(field, gpu->pcie_replays);
    case 95:
        return put_small(field, gpu->pcie_replay_rollovers);
    case 184:
    case 199:
        return put_small(field, gpu->model.has_mig_without_reset);
    case 230:
        SUPPORTED(gpu->model.has_recovery_action);
        return put_small(field, gpu->recovery_action);
    default:
        return NOT_SUPPORTED;
    }
}

static nvml_result gpu_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    unsigned id = field->id;
    if (id == 83 || id == 191)
        return energy_field(gpu, field);
    if ((id >= 185 && id <= 190) || id == 192)
        return power_field(gpu, field);
    if (id >= 193 && id <= 196)
        return margin_field(gpu, field);
    if ((id >= 74 && id <= 81) || (id >= 269 && id <= 271))
        return violation_field(gpu, field);
    if (id == 197 || id == 198)
        return pcie_traffic_field(gpu, field);
    return other_field(gpu, field);
}

nvml_result fake_read_field(struct fake_state *state, struct fake_gpu *gpu,
                            struct nvml_field *field)
{
    field->at_us = (int64_t)fake_wall_us(state, gpu->settled_s);
    field->latency_us = 1;
    field->type = TYPE_UNSIGNED;
    field->value.ull = 0;
    if (field->id == 0 || field->id >= fake_field_limit)
        return INVALID_ARGUMENT;
    nvml_result result = fake_error_field(gpu, field);
    if (result == NOT_MINE)
        result = fake_link_field(gpu, field);
    return result == NOT_MINE ? gpu_field(gpu, field) : result;
}

NVML_EXPORT nvml_result nvmlDeviceGetFieldValues(nvml_device device, int count,
                                                 struct nvml_field *fields)
{
    ON_GPU(device);
    NEED(fields && count > 0);
    for (int i = 0; i < count; i++) {
        if (fields[i].id < MAX_FIELDS)
            call.state->field_calls[fields[i].id][call.place.slot]++;
        fields[i].result = fake_read_field(call.state, gpu, &fields[i]);
    }
    return OK;
}

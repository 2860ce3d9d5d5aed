/* Field values of memory and PCIe errors. */
#include "fields.h"

/* Which location each single counter has; those of one type and lifetime stand in this order. */
static nvml_result location_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    static const unsigned char places[] = {ECC_L1, ECC_L2, ECC_DRAM, ECC_REGISTERS, ECC_TEXTURE};
    unsigned aggregate = field->id >= 18;
    unsigned place = field->id - (aggregate ? 18 : 7);
    SUPPORTED(!gpu->model.has_sram_ecc || (place < 10 && places[place / 2] == ECC_DRAM));
    if (place == 10)
        return put(field, gpu->ecc[1][aggregate][ECC_CBU]);
    return put(field, gpu->ecc[place % 2][aggregate][places[place / 2]]);
}

static nvml_result ecc_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    SUPPORTED(gpu->model.has_ecc);
    if (field->id == 1)
        return put_small(field, gpu->ecc_mode);
    if (field->id == 2)
        return put_small(field, gpu->ecc_pending);
    SUPPORTED(gpu->ecc_mode);
    if (field->id >= 7)
        return location_field(gpu, field);
    unsigned which = field->id - 3; /* volatile then aggregate, single then double each */
    return put(field, fake_ecc_total(gpu, which % 2, which / 2));
}

static nvml_result retired_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    SUPPORTED(gpu->model.has_retired_pages);
    if (field->id == 29 || field->id == 30)
        return put_small(field, (unsigned)fake_retired_by(gpu, field->id - 29));
    return put_small(field, gpu->retired_pending);
}

static nvml_result remapped_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    SUPPORTED(gpu->model.has_remapped_rows);
    unsigned values[] = {gpu->remapped_corrected, gpu->remapped_uncorrected, gpu->remap_pending,
                         gpu->remap_failure};
    return put_small(field, values[field->id - 142]);
}

nvml_result fake_error_field(const struct fake_gpu *gpu, struct nvml_field *field)
{
    unsigned id = field->id;
    if (id <= 28)
        return ecc_field(gpu, field);
    if (id <= 31 || id == 92 || id == 93)
        return retired_field(gpu, field);
    if (id >= 142 && id <= 145)
        return remapped_field(gpu, field);
    if (id >= 173 && id <= 183) {
        SUPPORTED(gpu->model.has_pcie_counters);
        return put(field, gpu->pcie_errors[id - 173]);
    }
    return NOT_MINE;
}

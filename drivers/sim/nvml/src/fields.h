/* Field values: what the files that answer them have in common. */
#ifndef FAKE_FIELDS_H
#define FAKE_FIELDS_H

#include "fake.h"

/* Not one of mine: the next file may know it. */
#define NOT_MINE 0xfffffffe

enum { TYPE_DOUBLE, TYPE_UNSIGNED, TYPE_UNSIGNED_LONG, TYPE_UNSIGNED_LONG_LONG };
enum { TYPE_SIGNED_LONG_LONG = 4, TYPE_SIGNED = 5 };

static inline nvml_result put(struct nvml_field *field, uint64_t value)
{
    field->type = TYPE_UNSIGNED_LONG_LONG;
    field->value.ull = value;
    return OK;
}

static inline nvml_result put_small(struct nvml_field *field, unsigned value)
{
    field->type = TYPE_UNSIGNED;
    field->value.ull = 0;
    field->value.ui = value;
    return OK;
}

static inline nvml_result put_signed(struct nvml_field *field, int value)
{
    field->type = TYPE_SIGNED;
    field->value.ull = 0;
    field->value.si = value;
    return OK;
}

nvml_result fake_link_field(const struct fake_gpu *gpu, struct nvml_field *field);
nvml_result fake_error_field(const struct fake_gpu *gpu, struct nvml_field *field);

#endif

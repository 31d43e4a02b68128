// Base weights that PEFT saved beside an adapter must be the base's own.
#pragma once

#include "absl/status/status.h"
#include "adapters/adapter_files.h"
#include "adapters/peft_binder.h"
#include "base/dtype.h"
#include "checkpoint/weight_source.h"

namespace guildhall {

// Whether `copy`, stored as `dtype`, is `own` as nearly as that dtype can say it.
bool IsCopyOf(float copy, DType dtype, float own);

// Reads both. Equal: every number is the base's, rounded to the copy's dtype where that is the narrower one.
// FAILED_PRECONDITION naming the tensor and the first element that differs.
absl::Status CheckBaseCopy(const BaseCopy& copy, const AdapterFiles& files, const WeightSource& base);

}  // namespace guildhall

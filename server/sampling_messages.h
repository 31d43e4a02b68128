// Between v1::SamplingOptions and the table of sampling fields: each field of the table is one of the
// message, under the same name.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "engine/sampling_fields.h"
#include "guildhall/v1/common.pb.h"

namespace guildhall {

// The shortest decimal number that is this float: 0.7f is 0.7, not 0.699999988079071.
double Decimal(float value);

// What the message sets. INVALID_ARGUMENT with the field, whose path begins with `where` ("sampling"), for a
// number out of range. `seed` and `logit_bias` are not defaults of anything: the caller reads them.
absl::StatusOr<PartialSampling> ReadSampling(const v1::SamplingOptions& from, std::string_view where);

// Sets what is set.
void FillSampling(const PartialSampling& from, v1::SamplingOptions& to);

}  // namespace guildhall

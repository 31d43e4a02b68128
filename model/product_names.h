// The names of the decoder's products, for profiles.
#pragma once

#include <functional>
#include <string_view>

#include "model/weights.h"

namespace guildhall {

// visit(matrix, name) for the matrix of every product but the routed experts': "qkv", "o", "shared", "head"
// and others; the same name in every layer. An FFN is visited with its first matrix, products per head with
// their first head's.
void ForEachProduct(const DecoderWeights& weights,
                    const std::function<void(const Matrix& matrix, std::string_view name)>& visit);

}  // namespace guildhall

#include "model/product_names.h"

namespace guildhall {

void ForEachProduct(const DecoderWeights& weights,
                    const std::function<void(const Matrix& matrix, std::string_view name)>& visit) {
  for (const LayerWeights& layer : weights.layers) {
    visit(layer.qkv, "qkv");
    visit(layer.v_clipped, "v");
    visit(layer.q_b, "q_b");
    visit(layer.k_up.first, "k_up");
    visit(layer.v_up.first, "v_up");
    visit(layer.o, "o");
    visit(layer.shared_score, "shared_score");
    visit(layer.shared.gate_up, "shared_ffn");
    visit(layer.dense.gate_up, "dense_ffn");
  }
  visit(weights.head, "head");
}

}  // namespace guildhall

// What routes a row, as data: every published router is one GateSpec, evaluated by one op in one fixed order.
#pragma once

namespace guildhall {

// The fields are those of the literature's routers; a value that nobody serves yet is not listed.
// Order of evaluation: score -> activation -> selection (with its bias and groups) -> weight rule -> slots.
struct GateSpec {
  enum class Activation {
    kSoftmaxAll,       // over all experts, in fp32
    kSoftmaxSelected,  // over the selected ones only
    kSigmoid,
    kIdentity,
  };
  enum class Selection {
    kTopK,              // the k highest; ties: the lower expert id
    kGroupLimitedTopK,  // the best `groups_kept` of `groups` equal groups first, then top-k inside them
  };
  enum class GroupScore {
    kMax,        // a group's rank is its best expert (DeepSeek-V2)
    kSumOfTop2,  // the sum of its two best (DeepSeek-V3)
  };

  int experts = 0;  // logical experts
  int k = 0;        // selected per row, at most
  Activation activation = Activation::kSoftmaxAll;
  Selection selection = Selection::kTopK;
  GroupScore group_score = GroupScore::kMax;
  int groups = 1;
  int groups_kept = 1;
  bool selection_bias = false;  // a per-expert bias that changes the selection but not the weights
  bool normalize = false;       // weights / (sum + epsilon) over the selected
  float epsilon = 0.0f;
  float scale = 1.0f;  // multiplies the weights, after the normalisation
};

}  // namespace guildhall

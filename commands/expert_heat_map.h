// A picture of expert relevance: layers down, experts across, one cell each.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tools/expert_relevance.h"

namespace guildhall {

// A self-contained SVG. Chosen experts have a frame; each cell's title says layer, expert and score.
std::string ExpertHeatMap(const ExpertRelevance& relevance, RelevanceScore score,
                          const std::map<int, std::vector<int>>& chosen, const std::string& title);

}  // namespace guildhall

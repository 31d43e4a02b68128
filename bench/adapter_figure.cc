#include "bench/adapter_figure.h"

#include <cstdio>

namespace guildhall {

Json AdapterFigureJson(const AdapterFigure& figure) {
  Json json{{"name", figure.name},       {"ratio", figure.ratio.median}, {"low", figure.ratio.low},
            {"high", figure.ratio.high}, {"what", figure.what},          {"mark", figure.mark.Text()}};
  if (figure.mark.set()) json["reached"] = figure.mark.Reached(figure.ratio.median);
  return json;
}

std::string AdapterFigureText(const AdapterFigure& figure) {
  const Spread& ratio = figure.ratio;
  char line[400];
  const char* reached =
      !figure.mark.set() ? "" : (figure.mark.Reached(ratio.median) ? "reached" : "not reached");
  std::snprintf(line, sizeof(line), "%5.3f (%5.3f .. %5.3f)  %-66s %-8s %s\n%24s%s\n", ratio.median,
                ratio.low, ratio.high, figure.name.c_str(), figure.mark.Text().c_str(), reached, "",
                figure.what.c_str());
  return line;
}

}  // namespace guildhall

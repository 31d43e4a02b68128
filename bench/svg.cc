#include "bench/svg.h"

#include <cstdio>

namespace guildhall {
namespace {

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// ` name="12.3"`.
std::string Attribute(std::string_view name, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), " %.*s=\"%.1f\"", static_cast<int>(name.size()), name.data(), value);
  return text;
}
std::string Attribute(std::string_view name, std::string_view value) {
  return " " + std::string(name) + "=\"" + Escaped(value) + "\"";
}

std::string End(std::string_view element, std::string_view title) {
  if (title.empty()) return "/>\n";
  return "><title>" + Escaped(title) + "</title></" + std::string(element) + ">\n";
}

}  // namespace

Svg::Svg(double width, double height) {
  char box[96];
  std::snprintf(box, sizeof(box), "0 0 %.0f %.0f", width, height);
  text_ = "<svg xmlns=\"http://www.w3.org/2000/svg\"" + Attribute("viewBox", box) +
          Attribute("width", width) + Attribute("height", height) +
          Attribute("font-family", "'DejaVu Sans', Verdana, Helvetica, Arial, sans-serif") + ">\n";
  Rect(0, 0, width, height, "#ffffff");
}

void Svg::Rect(double x, double y, double width, double height, std::string_view colour) {
  Bar(x, y, width, height, colour, "");
}

void Svg::Bar(double x, double y, double width, double height, std::string_view colour,
              std::string_view title) {
  text_ += "<rect" + Attribute("x", x) + Attribute("y", y) + Attribute("width", width) +
           Attribute("height", height) + Attribute("fill", colour) + End("rect", title);
}

void Svg::Frame(double x, double y, double width, double height, std::string_view colour,
                std::string_view border, double border_width, std::string_view title) {
  text_ += "<rect" + Attribute("x", x) + Attribute("y", y) + Attribute("width", width) +
           Attribute("height", height) + Attribute("fill", colour) + Attribute("stroke", border) +
           Attribute("stroke-width", border_width) + End("rect", title);
}

void Svg::Line(double x1, double y1, double x2, double y2, std::string_view colour, double width) {
  text_ += "<line" + Attribute("x1", x1) + Attribute("y1", y1) + Attribute("x2", x2) + Attribute("y2", y2) +
           Attribute("stroke", colour) + Attribute("stroke-width", width) + "/>\n";
}

void Svg::Dot(double x, double y, double radius, std::string_view colour, std::string_view title) {
  text_ += "<circle" + Attribute("cx", x) + Attribute("cy", y) + Attribute("r", radius) +
           Attribute("fill", colour) + End("circle", title);
}

void Svg::Text(double x, double y, std::string_view text, const TextStyle& style) {
  constexpr const char* kAnchors[] = {"start", "middle", "end"};
  text_ += "<text" + Attribute("x", x) + Attribute("y", y) + Attribute("font-size", style.size) +
           Attribute("fill", style.colour) +
           Attribute("text-anchor", kAnchors[static_cast<int>(style.anchor)]);
  if (style.bold) text_ += Attribute("font-weight", "bold");
  text_ += ">" + Escaped(text) + "</text>\n";
}

}  // namespace guildhall

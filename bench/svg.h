// Drawing into an SVG document.
#pragma once

#include <string>
#include <string_view>

namespace guildhall {

// All lengths in pixels, y downward. Colours as CSS has them ("#1f77b4"). Texts are escaped.
class Svg {
 public:
  enum class Anchor { kStart, kMiddle, kEnd };
  struct TextStyle {
    double size = 12.0;
    Anchor anchor = Anchor::kStart;
    bool bold = false;
    std::string_view colour = "#222222";
  };

  Svg(double width, double height);

  void Rect(double x, double y, double width, double height, std::string_view colour);
  // `title`: shown where the pointer rests on it; may be empty.
  void Bar(double x, double y, double width, double height, std::string_view colour, std::string_view title);
  // A cell with a border.
  void Frame(double x, double y, double width, double height, std::string_view colour,
             std::string_view border, double border_width, std::string_view title);
  void Line(double x1, double y1, double x2, double y2, std::string_view colour, double width = 1.0);
  void Dot(double x, double y, double radius, std::string_view colour, std::string_view title);
  void Text(double x, double y, std::string_view text, const TextStyle& style);

  // The whole document.
  std::string Finish() const { return text_ + "</svg>\n"; }

 private:
  std::string text_;
};

}  // namespace guildhall

#include "kernels/pack_panels.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/status.h"

namespace guildhall {
namespace {

// Of the rows that are read before they are packed: half of a second-level cache, the other half is for what
// becomes of them.
constexpr int64_t kPieceBytes = int64_t{256} << 10;

// Where the rows of the panels are.
class Sources {
 public:
  Sources(const PackShape& shape, const PackParts& parts)
      : alternate_(shape.kind == PackShape::Kind::kGateUp ? 2 : 1) {
    if (alternate_ == 2) {
      GH_CHECK_EQ(parts.rows.size(), size_t{2});
      begins_ = {0, 0};
      ends_ = {shape.out / 2, shape.out / 2};
      for (const int64_t rows : parts.rows) GH_CHECK_EQ(rows, shape.out / 2);
      return;
    }
    int64_t end = 0;
    for (const int64_t rows : parts.rows) {
      begins_.push_back(end);
      end += rows;
      ends_.push_back(end);
    }
    GH_CHECK_EQ(end, shape.out);
  }

  // Rows [begin, end) of a part.
  struct Range {
    int64_t begin, end;
  };
  Range RowsOf(size_t part, int64_t first_panel, int64_t last_panel) const {
    const int64_t begin = first_panel / alternate_ * kPanelColumns;
    const int64_t end = last_panel / alternate_ * kPanelColumns;
    return {std::clamp(begin, begins_[part], ends_[part]) - begins_[part],
            std::clamp(end, begins_[part], ends_[part]) - begins_[part]};
  }

  // A row of -1: a column of zeros.
  struct Row {
    size_t part = 0;
    int64_t row = -1;
  };
  Row At(int64_t panel, int64_t column) const {
    const int64_t row = panel / alternate_ * kPanelColumns + column;
    for (auto part = static_cast<size_t>(panel % alternate_); part < ends_.size();
         part += static_cast<size_t>(alternate_)) {
      if (row < ends_[part]) return {part, row - begins_[part]};
    }
    return {};
  }

 private:
  const int64_t alternate_;  // parts whose panels take turns
  std::vector<int64_t> begins_, ends_;
};

// The rows of a few groups of panels, a part's in one view.
class PieceRows {
 public:
  PieceRows(const PackParts& parts, int64_t in) : parts_(parts), in_(in), parts_read_(parts.rows.size()) {}

  absl::Status Read(size_t part, int64_t begin, int64_t end) {
    if (begin >= end) return absl::OkStatus();
    GH_ASSIGN_OR_RETURN(const TensorView view, parts_.read(part, begin, end));
    GH_CHECK(view.shape == std::vector<int64_t>({end - begin, in_}));
    GH_CHECK(view.data != nullptr);
    parts_read_[part] = {view.data, static_cast<size_t>(in_) * DTypeSize(view.dtype), view.dtype, begin};
    return absl::OkStatus();
  }

  PackColumn At(Sources::Row row) const {
    if (row.row < 0) return {};
    const Part& part = parts_read_[row.part];
    return {part.data + static_cast<size_t>(row.row - part.begin) * part.row_bytes, part.dtype};
  }

 private:
  struct Part {
    const std::byte* data = nullptr;
    size_t row_bytes = 0;
    DType dtype = DType::kF32;
    int64_t begin = 0;  // the first row that was read
  };
  const PackParts& parts_;
  const int64_t in_;
  std::vector<Part> parts_read_;
};

}  // namespace

int64_t PanelCount(const PackShape& shape) {
  const int64_t alternate = shape.kind == PackShape::Kind::kGateUp ? 2 : 1;
  return alternate * ((shape.out / alternate + kPanelColumns - 1) / kPanelColumns);
}

absl::Status PackPanels(const PackShape& shape, const PackParts& parts, int64_t group_panels,
                        absl::FunctionRef<void(int64_t, std::span<const PackColumn>)> pack) {
  if (shape.kind == PackShape::Kind::kGateUp) GH_CHECK_EQ(group_panels % 2, int64_t{0});
  const Sources sources(shape, parts);
  PieceRows rows(parts, shape.in);
  const int64_t group_bytes = group_panels * kPanelColumns * shape.in * static_cast<int64_t>(sizeof(float));
  const int64_t piece_panels =
      group_panels * std::max<int64_t>(1, kPieceBytes / std::max<int64_t>(1, group_bytes));
  const int64_t panels = PanelCount(shape);
  std::vector<PackColumn> columns(static_cast<size_t>(group_panels * kPanelColumns));
  for (int64_t piece = 0; piece < panels; piece += piece_panels) {
    const int64_t piece_end = std::min(piece + piece_panels, panels);
    for (size_t part = 0; part < parts.rows.size(); ++part) {
      const Sources::Range range = sources.RowsOf(part, piece, piece_end);
      GH_RETURN_IF_ERROR(rows.Read(part, range.begin, range.end));
    }
    for (int64_t first = piece; first < piece_end; first += group_panels) {
      const auto count = static_cast<size_t>(std::min(group_panels, piece_end - first) * kPanelColumns);
      for (size_t i = 0; i < count; ++i) {
        const auto column = static_cast<int64_t>(i);
        columns[i] = rows.At(sources.At(first + column / kPanelColumns, column % kPanelColumns));
      }
      pack(first, std::span(columns).first(count));
    }
  }
  return absl::OkStatus();
}

}  // namespace guildhall

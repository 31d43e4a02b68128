#include "kernels/cpu/packing.h"

#include <vector>

#include "base/align.h"
#include "base/check.h"
#include "base/status.h"
#include "kernels/cpu/pack_group.h"

namespace guildhall {
namespace {

// Of the rows that are read before they are packed: half of a second-level cache, the other half is for what
// becomes of them.
constexpr int64_t kPieceBytes = int64_t{256} << 10;

// Rows [begin, end) of a part, begin <= end.
struct RowRange {
  int64_t begin = 0, end = 0;
};

// Where a column of the packed matrix comes from; a row of -1: from nowhere.
struct Source {
  size_t part = 0;
  int64_t row = -1;
};

// The rows of a few groups of panels, a part's in one view.
class PieceRows {
 public:
  PieceRows(const PackParts& parts, int64_t in) : parts_(parts), in_(in), parts_read_(parts.rows.size()) {}

  absl::Status Read(size_t part, RowRange range) {
    if (range.begin >= range.end) return absl::OkStatus();
    GH_ASSIGN_OR_RETURN(const TensorView view, parts_.read(part, range.begin, range.end));
    GH_CHECK(view.shape == std::vector<int64_t>({range.end - range.begin, in_}));
    GH_CHECK(view.data != nullptr);
    parts_read_[part] = {view.data, static_cast<size_t>(in_) * DTypeSize(view.dtype), view.dtype,
                         range.begin};
    return absl::OkStatus();
  }

  PackColumn At(Source source) const {
    if (source.row < 0) return {};
    const Part& part = parts_read_[source.part];
    return {part.data + static_cast<size_t>(source.row - part.begin) * part.row_bytes, part.dtype};
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

// Packs `panels` panels. rows_of(part, first panel, last panel) are the part's rows among them;
// source_of(panel, c) is what stands in a column.
template <typename RowsOf, typename SourceOf>
absl::Status PackPanels(int64_t panels, const PackParts& parts, const PackShape& shape,
                        const MicroKernels& kernels, std::byte* destination, RowsOf rows_of,
                        SourceOf source_of) {
  GH_CHECK_EQ(reinterpret_cast<uintptr_t>(destination) % kAlignment, uintptr_t{0});
  const int64_t group_panels = kernels.group_panels[static_cast<size_t>(shape.format)];
  const int64_t group_bytes = group_panels * kPanelColumns * shape.in * static_cast<int64_t>(sizeof(float));
  const int64_t piece_panels = group_panels * std::max<int64_t>(1, kPieceBytes / group_bytes);
  PieceRows rows(parts, shape.in);
  PackColumn columns[kMaxGroupPanels * kPanelColumns];
  for (int64_t piece = 0; piece < panels; piece += piece_panels) {
    const int64_t piece_end = std::min(piece + piece_panels, panels);
    for (size_t part = 0; part < parts.rows.size(); ++part) {
      GH_RETURN_IF_ERROR(rows.Read(part, rows_of(part, piece, piece_end)));
    }
    for (int64_t first = piece; first < piece_end; first += group_panels) {
      const int64_t count = std::min(group_panels, piece_end - first);
      for (int64_t column = 0; column < count * kPanelColumns; ++column) {
        columns[column] = rows.At(source_of(first + column / kPanelColumns, column % kPanelColumns));
      }
      std::byte* const to = destination + static_cast<size_t>(first) * PanelBytes(shape.format, shape.in);
      PackPanelGroup({columns, static_cast<int>(count), shape.in, shape.format, to}, kernels.isa);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PackStack(const PackParts& parts, const PackShape& shape, const MicroKernels& kernels,
                       std::byte* destination) {
  std::vector<int64_t> begins{0};  // of each part among the stacked rows, and their end
  for (const int64_t rows : parts.rows) begins.push_back(begins.back() + rows);
  GH_CHECK_EQ(begins.back(), shape.out);
  const auto rows_of = [&](size_t part, int64_t first, int64_t last) {
    const int64_t begin = std::clamp(first * kPanelColumns, begins[part], begins[part + 1]);
    const int64_t end = std::clamp(last * kPanelColumns, begins[part], begins[part + 1]);
    return RowRange{begin - begins[part], end - begins[part]};
  };
  const auto source_of = [&](int64_t panel, int64_t c) {
    const int64_t row = panel * kPanelColumns + c;
    for (size_t part = 0; part < parts.rows.size(); ++part) {
      if (row < begins[part + 1]) return Source{part, row - begins[part]};
    }
    return Source{};
  };
  return PackPanels(CeilDiv(shape.out, kPanelColumns), parts, shape, kernels, destination, rows_of,
                    source_of);
}

absl::Status PackGateUp(const PackParts& parts, const PackShape& shape, const MicroKernels& kernels,
                        std::byte* destination) {
  const int64_t width = shape.out / 2;
  GH_CHECK_EQ(parts.rows.size(), size_t{2});
  for (const int64_t rows : parts.rows) GH_CHECK_EQ(rows, width);
  // A group is of an even number of panels.
  const auto rows_of = [&](size_t, int64_t first, int64_t last) {
    return RowRange{first / 2 * kPanelColumns, std::min(width, last / 2 * kPanelColumns)};
  };
  const auto source_of = [&](int64_t panel, int64_t c) {
    const int64_t row = panel / 2 * kPanelColumns + c;
    return row < width ? Source{static_cast<size_t>(panel % 2), row} : Source{};
  };
  return PackPanels(2 * CeilDiv(width, kPanelColumns), parts, shape, kernels, destination, rows_of,
                    source_of);
}

}  // namespace guildhall

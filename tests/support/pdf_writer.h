// Writes small PDFs by hand for tests: pages of Helvetica text, pictures, an outline.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lectern::test {

struct PdfLine {
  double x = 72, y = 72;  // points from the top left; y is the base line
  std::string text;       // Latin-1
};

class PdfWriter {
 public:
  double width = 612, height = 792;
  int rotate = 0;
  std::string title;

  /// Lines below each other from the top.
  void add_page(const std::vector<std::string>& lines) {
    std::vector<PdfLine> placed;
    double y = 72;
    for (const std::string& line : lines) {
      placed.push_back({72, y, line});
      y += 14;
    }
    add_placed(placed);
  }

  /// Lines where they are told to be, drawn in this order.
  void add_placed(const std::vector<PdfLine>& lines) {
    std::string content = "BT /F1 11 Tf\n";
    for (const PdfLine& line : lines) {
      content += "1 0 0 1 " + std::to_string(line.x) + " " + std::to_string(height - line.y) + " Tm (" +
                 escaped(line.text) + ") Tj\n";
    }
    contents_.push_back(content + "ET\n");
  }

  /// Chinese text in a font that is not in the file: reading it needs poppler's character maps. `utf16` in hexadecimal.
  void add_chinese(const std::string& utf16) {
    contents_.push_back("BT /F2 14 Tf 1 0 0 1 72 700 Tm <" + utf16 + "> Tj ET\n");
  }

  /// A page that holds one picture and no text.
  void add_scan() { contents_.push_back("q 400 0 0 400 100 200 cm /Im1 Do Q\n"); }

  void add_outline(const std::string& item_title, int page) { outline_.emplace_back(item_title, page); }

  std::string bytes() const {
    const int first_page = 7 + static_cast<int>(outline_.size());
    const std::string chinese =
        "<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UCS2-H /DescendantFonts [<< /Type "
        "/Font /Subtype "
        "/CIDFontType0 /BaseFont /STSong-Light /CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 4 >> "
        "/DW 1000 "
        "/FontDescriptor << /Type /FontDescriptor /FontName /STSong-Light /Flags 6 /FontBBox [-25 -254 1000 880] "
        "/ItalicAngle 0 "
        "/Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 >> >>] >>";
    std::vector<std::string> objects;  // from 1
    objects.push_back("<< /Type /Catalog /Pages 2 0 R" + std::string(outline_.empty() ? "" : " /Outlines 6 0 R") +
                      " >>");
    std::string kids;
    for (std::size_t i = 0; i < contents_.size(); ++i)
      kids += std::to_string(first_page + 2 * static_cast<int>(i)) + " 0 R ";
    objects.push_back("<< /Type /Pages /Count " + std::to_string(contents_.size()) + " /Kids [" + kids + "] >>");
    objects.push_back("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>");
    objects.push_back("<< /Title (" + escaped(title) + ") >>");
    objects.push_back(
        "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray /Length 1 "
        ">>\nstream\nA\nendstream");
    const int last = 6 + static_cast<int>(outline_.size());
    objects.push_back("<< /Type /Outlines /First 7 0 R /Last " + std::to_string(last) + " 0 R /Count " +
                      std::to_string(outline_.size()) + " >>");
    for (std::size_t i = 0; i < outline_.size(); ++i) {
      const int number = 7 + static_cast<int>(i);
      std::string item = "<< /Title (" + escaped(outline_[i].first) + ") /Parent 6 0 R /Dest [" +
                         std::to_string(first_page + 2 * (outline_[i].second - 1)) + " 0 R /Fit]";
      if (i > 0) item += " /Prev " + std::to_string(number - 1) + " 0 R";
      if (i + 1 < outline_.size()) item += " /Next " + std::to_string(number + 1) + " 0 R";
      objects.push_back(item + " >>");
    }
    for (std::size_t i = 0; i < contents_.size(); ++i) {
      objects.push_back("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 " + std::to_string(width) + " " +
                        std::to_string(height) + "] /Rotate " + std::to_string(rotate) +
                        " /Resources << /Font << /F1 3 0 R /F2 " + chinese +
                        " >> /XObject << /Im1 5 0 R >> >> /Contents " +
                        std::to_string(first_page + 2 * static_cast<int>(i) + 1) + " 0 R >>");
      objects.push_back("<< /Length " + std::to_string(contents_[i].size()) + " >>\nstream\n" + contents_[i] +
                        "endstream");
    }
    std::string out = "%PDF-1.4\n";
    std::vector<std::size_t> offsets;
    for (std::size_t i = 0; i < objects.size(); ++i) {
      offsets.push_back(out.size());
      out += std::to_string(i + 1) + " 0 obj\n" + objects[i] + "\nendobj\n";
    }
    const std::size_t table = out.size();
    out += "xref\n0 " + std::to_string(objects.size() + 1) + "\n0000000000 65535 f \n";
    for (std::size_t offset : offsets) {
      std::string digits = std::to_string(offset);
      out += std::string(10 - digits.size(), '0') + digits + " 00000 n \n";
    }
    return out + "trailer\n<< /Size " + std::to_string(objects.size() + 1) +
           " /Root 1 0 R /Info 4 0 R >>\nstartxref\n" + std::to_string(table) + "\n%%EOF\n";
  }

 private:
  static std::string escaped(const std::string& text) {
    std::string out;
    for (char c : text) {
      if (c == '(' || c == ')' || c == '\\') out += '\\';
      out += c;
    }
    return out;
  }

  std::vector<std::string> contents_;
  std::vector<std::pair<std::string, int>> outline_;
};

}  // namespace lectern::test

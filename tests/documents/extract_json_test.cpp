#include "documents/extract_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace lectern::documents {
namespace {

TEST(ExtractJson, HasTheShapeOfTheContract) {
  Document document;
  document.name = "a.pdf";
  document.kind = DocumentKind::pdf;
  document.fingerprint = "00";
  document.outline = {{"Top", 1, 0}, {"Nowhere", 0, 1}};
  Page page;
  page.number = 1;
  page.width_pt = 595.276;
  page.text = "é word";
  page.words = {{2, 6, {1.005, 2, 3, 4}}};
  document.pages = {page, {}};
  document.pages[1].number = 2;
  document.report.pages = 2;
  document.report.pages_without_text = {2};
  const nlohmann::json json = to_json(document);
  EXPECT_EQ(json["document"], "a.pdf");
  EXPECT_EQ(json["pages"][0]["anchor"], "[1:1]");
  EXPECT_EQ(json["pages"][0]["width_pt"], 595.28);
  EXPECT_EQ(json["pages"][0]["words"][0]["text"], "word");
  EXPECT_EQ(json["pages"][0]["words"][0]["start"], 2);
  EXPECT_EQ(json["pages"][0]["words"][0]["box"].size(), 4U);
  EXPECT_EQ(json["outline"][1]["page"], nullptr);
  EXPECT_EQ(json["coverage"]["pages_with_text"], 1);
  EXPECT_TRUE(json["tables"].is_array());
}

}  // namespace
}  // namespace lectern::documents

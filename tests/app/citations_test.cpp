#include "app/citations.h"

#include <gtest/gtest.h>

#include "app/question_passages.h"
#include "documents/utf8.h"

namespace lectern::app {
namespace {

documents::Document agreement() {
  documents::Document document;
  document.fingerprint = "f1";
  document.name = "agreement.pdf";
  document.kind = documents::DocumentKind::pdf;
  const std::vector<std::string> texts = {
      "SERVICES AGREEMENT\n\nThis Agreement is made between Norfield Logistics GmbH and Alder Data Ltd.\n",
      "4. Payment\n\nThe Client shall pay each invoice within thirty-five (35) days after it has received it.\n",
      "9. Governing law\n\nThis Agreement shall be governed by the laws of the Republic of Austria.\nThe seat of the "
      "arbitration is Vienna.\n"};
  for (std::size_t at = 0; at < texts.size(); ++at) {
    documents::Page page;
    page.number = static_cast<int>(at) + 1;
    page.text = texts[at];
    document.pages.push_back(std::move(page));
  }
  return document;
}

documents::Document code() {
  documents::Document document;
  document.fingerprint = "f2";
  document.name = "retry.py";
  document.kind = documents::DocumentKind::code;
  documents::Page page;
  page.number = 1;
  page.text = "# Retries.\n\n# A call is attempted six times before it gives up.\nATTEMPTS = 6\n";
  page.first_line = 1;
  page.last_line = 4;
  document.pages.push_back(std::move(page));
  return document;
}

class CitationsTest : public ::testing::Test {
 protected:
  CitationsTest() {
    std::vector<EvidencePassage> passages;
    for (std::size_t at = 0; at < documents_.size(); ++at) {
      sources_.push_back({&documents_[at], &indexes_[at]});
      for (const documents::Page& page : documents_[at].pages)
        passages.push_back({static_cast<int>(at), page.number, 0, page.text});
    }
    evidence_ = std::make_unique<Evidence>(std::move(passages));
  }
  Proof prove(const std::string& answer, const std::string& question = "Which law governs this agreement?") {
    Proof proof =
        prove_answer(answer, question, sources_, *evidence_, best_places(*evidence_, question, passages_under_answer));
    for (const Citation& citation : proof.citations) {
      if (citation.status == CitationStatus::absent || citation.page == 0) continue;
      // Whatever is shown as found stands where the citation says.
      const std::size_t at = citation.fingerprint == "f1" ? 0 : 1;
      const auto match = indexes_[at].find(citation.quote, citation.page);
      EXPECT_TRUE(match && match->first.page == citation.page) << citation.quote;
    }
    return proof;
  }
  std::vector<documents::Document> documents_{agreement(), code()};
  std::vector<documents::QuoteIndex> indexes_{documents::QuoteIndex(documents_[0]),
                                              documents::QuoteIndex(documents_[1])};
  std::vector<SourceDocument> sources_;
  std::unique_ptr<Evidence> evidence_;
};

TEST_F(CitationsTest, VerifiesAQuoteOnThePageThatTheMarkerNames) {
  const Proof proof = prove("Austrian law applies: \"governed by the laws of the Republic of Austria\" [1:3].");
  const Citation& citation = proof.citations.at(0);
  EXPECT_EQ(citation.origin, CitationOrigin::model);
  EXPECT_EQ(citation.status, CitationStatus::verified);
  EXPECT_EQ(citation.page, 3);
  EXPECT_EQ(citation.claimed_page, 3);
  EXPECT_EQ(citation.document, "agreement.pdf");
  EXPECT_FALSE(citation.lines);
  EXPECT_EQ(citation.marker, 1);
}

TEST_F(CitationsTest, SaysWhereAQuoteStandsInstead) {
  const Proof proof = prove("It says \"governed by the laws of the Republic of Austria\" [1:2].");
  EXPECT_EQ(proof.citations.at(0).status, CitationStatus::elsewhere);
  EXPECT_EQ(proof.citations.at(0).page, 3);
  EXPECT_EQ(proof.citations.at(0).claimed_page, 2);
}

TEST_F(CitationsTest, CallsAnInventedQuoteAbsent) {
  const Proof proof = prove("It says \"governed by the laws of the Federal Trade Commission\" [1:3].");
  EXPECT_EQ(proof.citations.at(0).status, CitationStatus::absent);
  EXPECT_EQ(proof.citations.at(0).page, 0);
  EXPECT_EQ(proof.citations.at(0).claimed_page, 3);
  EXPECT_EQ(proof.citations.at(0).quote, "governed by the laws of the Federal Trade Commission");
  EXPECT_EQ(proof.unsupported.size(), 1U);
}

TEST_F(CitationsTest, FindsAQuoteWithoutAMarkerInAnyDocument) {
  const Proof proof = prove("The code says \"attempted six times before it gives up\".");
  EXPECT_EQ(proof.citations.at(0).status, CitationStatus::verified);
  EXPECT_EQ(proof.citations.at(0).document, "retry.py");
  EXPECT_EQ(proof.citations.at(0).lines, (std::pair<int, int>(3, 3)));
}

TEST_F(CitationsTest, VerifiesABareMarkerOnlyIfThePageSupportsTheSentence) {
  Proof proof = prove("The seat of the arbitration is Vienna [1:3].");
  EXPECT_EQ(proof.citations.at(0).origin, CitationOrigin::model);
  EXPECT_EQ(proof.citations.at(0).status, CitationStatus::verified);
  EXPECT_EQ(proof.citations.at(0).page, 3);
  proof = prove("The seat of the arbitration is Vienna [1:2].");
  EXPECT_EQ(proof.citations.at(0).status, CitationStatus::elsewhere);
  EXPECT_EQ(proof.citations.at(0).page, 3);
  proof = prove("The seat of the arbitration is Geneva [1:3].");
  EXPECT_EQ(proof.citations.at(0).status, CitationStatus::absent);
  EXPECT_EQ(proof.unsupported.size(), 1U);
}

TEST_F(CitationsTest, CallsAMarkerOfAPageThatDoesNotExistAbsent) {
  const Proof proof = prove("Employees receive a bonus [1:99]. Cars are red [7:1].");
  EXPECT_EQ(proof.citations.at(0).status, CitationStatus::absent);
  EXPECT_EQ(proof.citations.at(0).claimed_page, 99);
  EXPECT_EQ(proof.citations.at(1).status, CitationStatus::absent);
  EXPECT_EQ(proof.unsupported.size(), 2U);
}

TEST_F(CitationsTest, SupportsASentenceWithoutACitation) {
  const std::string answer = "The agreement is governed by the laws of the Republic of Austria. The fee is 99 euros.";
  const Proof proof = prove(answer);
  const Citation& citation = proof.citations.at(0);
  EXPECT_EQ(citation.origin, CitationOrigin::program);
  EXPECT_EQ(citation.status, CitationStatus::verified);
  EXPECT_EQ(citation.page, 3);
  EXPECT_EQ(citation.claimed_page, 0);
  EXPECT_EQ(documents::slice(answer, 0, citation.answer_end),
            "The agreement is governed by the laws of the Republic of Austria.");
  ASSERT_EQ(proof.unsupported.size(), 1U);
  EXPECT_EQ(proof.unsupported[0].sentence, "The fee is 99 euros.");
  EXPECT_EQ(documents::slice(answer, proof.unsupported[0].start, proof.unsupported[0].end), "The fee is 99 euros.");
}

TEST_F(CitationsTest, MarksAFalseAnswerPutInPlaceOfATrueOne) {
  const Proof truth =
      prove("The client has to pay an invoice within 35 days.", "How many days after receipt is an invoice due?");
  EXPECT_TRUE(truth.unsupported.empty());
  const Proof lie =
      prove("The client has to pay an invoice within 60 days.", "How many days after receipt is an invoice due?");
  ASSERT_EQ(lie.unsupported.size(), 1U);
  EXPECT_TRUE(
      std::all_of(lie.citations.begin(), lie.citations.end(), [](const Citation& c) { return c.answer_end == -1; }));
}

TEST_F(CitationsTest, PutsTheBestPassagesUnderEveryAnswer) {
  for (const char* answer :
       {"", "I do not know.", "The agreement is governed by the laws of the Federal Trade Commission."}) {
    const Proof proof = prove(answer);
    std::vector<Citation> under;
    for (const Citation& citation : proof.citations) {
      if (citation.answer_end == -1) under.push_back(citation);
    }
    ASSERT_FALSE(under.empty()) << answer;
    EXPECT_LE(under.size(), passages_under_answer);
    EXPECT_EQ(under[0].origin, CitationOrigin::program);
    EXPECT_EQ(under[0].status, CitationStatus::verified);
    EXPECT_EQ(under[0].page, 3);
  }
}

TEST_F(CitationsTest, NumbersCitationsInTheOrderOfTheAnswer) {
  const Proof proof = prove(
      "The seat of the arbitration is Vienna. It says \"shall pay each invoice within thirty-five (35) days\" [1:2].");
  ASSERT_GE(proof.citations.size(), 2U);
  for (std::size_t at = 0; at < proof.citations.size(); ++at)
    EXPECT_EQ(proof.citations[at].marker, static_cast<int>(at) + 1);
  EXPECT_EQ(proof.citations[0].origin, CitationOrigin::program);
  EXPECT_EQ(proof.citations[1].origin, CitationOrigin::model);
}

TEST_F(CitationsTest, SurvivesStrangeAnswers) {
  for (const char* answer : {"[1:", "[[[1:3]]]", "[999999999999:1]", "\"\"\"\"\"\"", "> > > [1:1]",
                             "“unclosed quotation that goes on", "[1:3][1:3][1:3]", "\xEF\xBF\xBD[1:2]\xEF\xBF\xBD"}) {
    EXPECT_NO_THROW((void)prove(answer)) << answer;
  }
}

}  // namespace
}  // namespace lectern::app

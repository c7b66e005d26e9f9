#include "tests/ui/sample_answer.h"

namespace lectern::testing {

QString sample_folder() {
  return QStringLiteral(LECTERN_SOURCE_DIR "/resources/samples");
}

QString add_sample(FakeWorkspace& workspace) {
  return workspace.add_file(sample_folder() + QStringLiteral("/services-agreement.pdf"), 6240);
}

app::Message sample_question() {
  app::Message message;
  message.id = 11;
  message.text = "How can the Client get out of this agreement, and how long does each way take?";
  return message;
}

app::Message sample_answer(const FakeWorkspace& workspace, const QString& agreement) {
  using app::CitationStatus;
  app::Message m;
  m.id = 12;
  m.parent = 11;
  m.role = inference::Role::assistant;
  m.text =
      "The Client has four ways out:\n\n"
      "- **For convenience**, after the first twelve months, with 180 days' written notice; services performed until "
      "the end must be "
      "paid.\n"
      "- **For cause**, if a material breach is not cured within thirty days after a written notice.\n"
      "- **Repeated failure**: thirty days' notice if the availability stays below 98 per cent in three months of "
      "twelve.\n"
      "- **On insolvency** of the other Party, at once.\n\n"
      "A fee of two monthly payments is due in each case.";
  const auto cite = [&](int marker, int page, const char* quote, const char* after,
                        CitationStatus status = CitationStatus::verified) {
    m.citations.push_back(workspace.cite(marker, agreement, page, QString::fromUtf8(quote), m.text, after, status));
  };
  cite(1, 8,
       "Client may terminate this Agreement at any time by written notice of one hun- dred and eighty (180) days.",
       "must be paid.");
  cite(2, 8, "other Party commits a material breach and does not cure it within thirty (30) days after written notice",
       "written notice.");
  cite(3, 8, "three (3) calendar months within a period of twelve (12) months.", "of twelve.",
       CitationStatus::elsewhere);
  m.citations.back().claimed_page = 4;
  cite(4, 8, "A Party may terminate this Agreement at once if the other Party becomes insolvent", "at once.");
  cite(5, 0, "two monthly payments", "in each case.", CitationStatus::absent);
  cite(6, 8, "14.1 Term. This Agreement begins on the Effective Date and runs for an initial term of three (3) years.",
       "");
  cite(7, 9, "each Party may terminate this Agreement by written notice.", "");
  app::AnswerReport report;
  report.coverage.pages = report.coverage.pages_given = 12;
  report.coverage.tokens = report.coverage.given_tokens = 6240;
  report.usage.prompt_tokens = 6310;
  report.usage.reused_tokens = 6272;
  report.usage.computed_tokens = 38;
  report.timing.first_token_s = 0.4;
  report.timing.decode_tokens_per_s = 42;
  const std::string sentence = "A fee of two monthly payments is due in each case.";
  const auto at = static_cast<std::int64_t>(m.text.find(sentence));
  report.unsupported.push_back({sentence, at, at + static_cast<std::int64_t>(sentence.size())});
  m.report = report;
  return m;
}

}  // namespace lectern::testing

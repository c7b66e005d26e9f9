#include "app/support.h"

#include <gtest/gtest.h>

namespace lectern::app {
namespace {

const char* const contract_page_1 =
    "SERVICES AGREEMENT\n\n"
    "This Agreement is made on March 21, 2008 between Norfield Logistics GmbH (the \"Client\") and Alder Data Ltd. "
    "(the \"Provider\").\n\n"
    "1. Term\n\n"
    "The term shall commence on November 1, 2007 and end on October 31, 2008 unless terminated earlier.\n\n"
    "2. Payment\n\n"
    "2.1 The Client shall pay each invoice within thirty-five (35) days after the Client has received it. Late "
    "payments bear interest at "
    "4 per cent per year.\n\n"
    "2.2 The fees shall not exceed EUR 250,000 in any contract year.\n\n"
    "3. Security\n\n"
    "The Provider shall inform the Client of a Security Incident within twenty-four (24) hours after it has learned of "
    "it. The Provider "
    "shall not disclose Confidential Information to any third party without the prior written consent of the Client.\n";

const char* const contract_page_2 =
    "4. Insurance\n\n"
    "The Provider shall maintain professional liability insurance of at least EUR 2,000,000 per claim.\n\n"
    "5. Termination\n\n"
    "The Client may terminate this Agreement for convenience with one hundred and eighty (180) days' notice. The "
    "Provider may not "
    "terminate this Agreement for convenience.\n\n"
    "6. Governing law\n\n"
    "This Agreement shall be governed by and construed in accordance with the laws of the Republic of Austria, without "
    "regard to its "
    "conflict of laws rules. The seat of the arbitration is Vienna and its language is English.\n\n"
    "7. Liability\n\n"
    "The liability of each Party is limited to 150 per cent of the fees paid in the contract year.\n";

class SupportTest : public ::testing::Test {
 protected:
  Verdict verdict(std::string_view sentence, std::string_view question = {}) {
    return check.judge(sentence, question).verdict;
  }
  void expect_supported(std::string_view sentence, std::string_view question = {}) {
    EXPECT_EQ(verdict(sentence, question), Verdict::supported) << sentence;
  }
  void expect_unsupported(std::string_view sentence, std::string_view question = {}) {
    EXPECT_EQ(verdict(sentence, question), Verdict::unsupported) << sentence;
  }
  Evidence evidence{{{0, 1, 0, contract_page_1}, {0, 2, 0, contract_page_2}}};
  SupportCheck check{evidence};
};

TEST_F(SupportTest, SupportsParaphrasesThatKeepTheKeyTerms) {
  expect_supported("The agreement is governed by the laws of the Republic of Austria.");
  expect_supported("Austrian law governs this agreement.");
  expect_supported("The contract is governed by the law of Austria.", "Which law governs this agreement?");
  expect_supported("The Client must pay invoices within 35 days of receiving them.");
  expect_supported("An invoice is due 35 days after the Client received it.",
                   "How many days after receipt is an invoice due?");
  expect_supported("The Provider must notify the Client of a security incident within 24 hours.");
  expect_supported("Within twenty-four hours.",
                   "Within how many hours must the Provider tell the Client of a security incident?");
  expect_supported("The Provider has to maintain insurance of at least EUR 2,000,000 per claim.");
  expect_supported("The liability of each party is limited to 150% of the fees paid in the contract year.");
  expect_supported("The Client can terminate the agreement for convenience with 180 days notice.");
  expect_supported("The seat of arbitration is Vienna.");
  expect_supported("The agreement was made on March 21, 2008 between Norfield Logistics GmbH and Alder Data Ltd.");
  expect_supported("The Provider must not disclose confidential information to third parties.");
  expect_supported("The fees must not exceed EUR 250,000 per contract year.");
}

TEST_F(SupportTest, NamesThePageAndTheSentenceThatSupports) {
  const Judgement judgement = check.judge("The seat of arbitration is Vienna.", "");
  ASSERT_EQ(judgement.verdict, Verdict::supported);
  EXPECT_EQ(judgement.place.page, 2);
  EXPECT_NE(judgement.place.quote.find("The seat of the arbitration is Vienna"), std::string::npos);
  EXPECT_LE(judgement.place.end - judgement.place.start, longest_program_quote);
}

TEST_F(SupportTest, RefusesOtherNames) {
  expect_unsupported("The agreement is governed by the laws of the Federal Trade Commission.");
  expect_unsupported(
      "The agreement shall be governed by and construed in accordance with the laws of the Federal Trade Commission.");
  expect_unsupported("The agreement is governed by the laws of Switzerland.", "Which law governs this agreement?");
  expect_unsupported("The agreement is governed by the laws of the State of Delaware.");
  expect_unsupported("Switzerland.", "Which law governs this agreement?");
  expect_unsupported("The seat of the arbitration is Graz.");
  expect_unsupported("The seat of the arbitration is graz.", "Where is the seat of the arbitration?");
  expect_unsupported("The agreement was made between Norfield Logistics GmbH and Birch Data Ltd.");
}

TEST_F(SupportTest, RefusesOtherNumbersUnitsAndDates) {
  expect_unsupported("The Client must pay invoices within 60 days of receiving them.");
  expect_unsupported(
      "The Client shall pay each invoice within thirty-five (35) months after the Client has received it.");
  expect_unsupported("The Provider must notify the Client of a security incident within 24 days.");
  expect_unsupported("The Provider must notify the Client of a security incident within 48 hours.");
  expect_unsupported("The liability of each party is limited to 200% of the fees paid in the contract year.");
  expect_unsupported("60 days.", "How many days after receipt is an invoice due?");
  expect_unsupported("The agreement was made on March 22, 2008.");
  expect_unsupported("The agreement was made on April 21, 2008.");
  expect_unsupported("The term ends on October 31, 2009.");
}

TEST(SupportCheck, RefusesANumberThatTheTextSaysOfSomethingElse) {
  const Evidence evidence(
      {{0, 8, 0,
        "14.2 Termination for convenience. After the first twelve (12) months the Client may "
        "terminate this Agreement at "
        "any time without cause by written notice of one hundred and eighty (180) days.\n\n"
        "14.4 Repeated failure. The Client may terminate this Agreement by written notice of thirty (30) days if the "
        "availability has been below 98 per cent in three (3) calendar months within a period of twelve (12) "
        "months.\n"}});
  const SupportCheck check(evidence);
  EXPECT_EQ(check.judge("The notice period is 12 months.", "").verdict, Verdict::unsupported);
  EXPECT_EQ(check.judge("The notice period is 3 months and the notice period is 12 months.", "").verdict,
            Verdict::unsupported);
  EXPECT_EQ(check.judge("The written notice is 180 days.", "").verdict, Verdict::supported);
  EXPECT_EQ(check.judge("The Client may terminate after the first twelve months.", "").verdict, Verdict::supported);
  EXPECT_EQ(check.judge("After 12 months the Client may terminate by written notice of 180 days.", "").verdict,
            Verdict::supported);
}

TEST_F(SupportTest, RefusesExchangedParties) {
  expect_unsupported("The Client shall inform the Provider of a Security Incident within 24 hours.");
  expect_unsupported("The Client shall maintain professional liability insurance of at least EUR 2,000,000 per claim.");
  expect_unsupported("The Provider shall pay each invoice within 35 days.");
}

TEST_F(SupportTest, RefusesWhatTheTextSaysOfAnotherDefinedParty) {
  expect_supported("Norfield Logistics GmbH is the Client.", "Who is the Client?");
  expect_supported("Alder Data Ltd. is the Provider.", "Who is the Provider?");
  expect_unsupported("Alder Data Ltd. is the Client.", "Who is the Client?");
  expect_unsupported("Norfield Logistics GmbH is the Provider.", "Who is the Provider?");
}

TEST_F(SupportTest, RefusesTheOppositeOfASentence) {
  expect_unsupported("The Provider shall disclose Confidential Information to any third party.");
  expect_unsupported(
      "The liability of each Party is not limited to 150 per cent of the fees paid in the contract year.");
  expect_unsupported(
      "The Provider shall maintain professional liability insurance of at most EUR 2,000,000 per claim.");
  expect_unsupported("The Client shall not pay each invoice within thirty-five (35) days.");
}

TEST(SupportCheck, RefusesADeniedVerbBesideManyNames) {
  const Evidence evidence{
      {{0, 1, 0,
        "The laws of Austria govern this contract. The United Nations Convention on Contracts for the "
        "International Sale of Goods does not apply.\n"}}};
  const SupportCheck check(evidence);
  const char* convention = "The United Nations Convention on Contracts for the International Sale of Goods ";
  EXPECT_EQ(check.judge(std::string(convention) + "applies.", "").verdict, Verdict::unsupported);
  EXPECT_EQ(check.judge(std::string(convention) + "does not apply.", "").verdict, Verdict::supported);
}

TEST_F(SupportTest, RefusesAVerbThatTheTextDoesNotHave) {
  expect_unsupported("The Provider shall forget Confidential Information of the Client.");
  expect_unsupported("The Client may renew this Agreement for convenience with 180 days' notice.");
}

TEST_F(SupportTest, TellsMustFromMay) {
  expect_unsupported("The Client must terminate this Agreement for convenience with 180 days' notice.");
  expect_unsupported("The Client is obliged to terminate this Agreement for convenience with 180 days' notice.");
  expect_unsupported("The Provider may inform the Client of a Security Incident within 24 hours.");
  expect_supported("The Client is allowed to terminate this Agreement for convenience with 180 days' notice.");
  expect_supported("The Provider is required to inform the Client of a Security Incident within 24 hours.");
}

TEST_F(SupportTest, RefusesAddedOnlyAndAll) {
  expect_unsupported("Only the Client may terminate this Agreement for convenience with 180 days' notice.");
  expect_unsupported("The Provider shall inform the Client of every Security Incident within twenty-four hours.");
}

TEST_F(SupportTest, RefusesTheRateOfAnotherTime) {
  expect_supported("Late payments bear interest at 4 per cent per year.");
  expect_unsupported("Late payments bear interest at 4 per cent per month.");
}

TEST_F(SupportTest, ProvesEachPartOfASentence) {
  expect_supported("The seat of the arbitration is Vienna; the Client shall pay each invoice within 35 days.");
  expect_unsupported("The seat of the arbitration is Vienna; the Client shall pay each invoice within 60 days.");
  expect_unsupported("The seat of the arbitration is Graz; the Client shall pay each invoice within 35 days.");
}

TEST(SupportCheck, RefusesAMeasureOfAnotherThing) {
  const Evidence evidence({{0, 8, 0,
                            "14.1 Term. This Agreement runs for an initial term of three (3) years. It is then renewed "
                            "for successive periods of one (1) year.\n\n"
                            "14.2 Termination for convenience. After the first twelve (12) months the Client may "
                            "terminate this Agreement by written notice of one hundred and eighty (180) days.\n"}});
  const SupportCheck check(evidence);
  const char* term = "How long is the initial term?";
  EXPECT_EQ(check.judge("One year.", term).verdict, Verdict::unsupported);
  EXPECT_EQ(check.judge("Three years.", term).verdict, Verdict::supported);
  const char* notice = "How long is the notice period if the Client terminates the agreement for convenience?";
  EXPECT_EQ(check.judge("Twelve months.", notice).verdict, Verdict::unsupported);
  EXPECT_EQ(check.judge("180 days.", notice).verdict, Verdict::supported);
}

TEST(SupportCheck, BindsFactsToTheCompanyTheyStandBeside) {
  const Evidence evidence({{0, 1, 0,
                            "This Agreement is made on 14 April 2025 between Northmere Survey Ltd, a company "
                            "registered in Scotland with its office in Leith (the \"Client\"), and Aldbrook Data "
                            "GmbH, a company registered in Austria with its office in Graz (the \"Provider\").\n"}});
  const SupportCheck check(evidence);
  const auto verdict = [&](const char* sentence) { return check.judge(sentence, "").verdict; };
  EXPECT_EQ(verdict("Aldbrook Data GmbH is registered in Austria."), Verdict::supported);
  EXPECT_EQ(verdict("Aldbrook Data GmbH is registered in Scotland."), Verdict::unsupported);
  EXPECT_EQ(verdict("Northmere Survey Ltd has its office in Graz."), Verdict::unsupported);
  EXPECT_EQ(verdict("The Agreement is made between Northmere Survey Ltd and Aldbrook Data GmbH."), Verdict::supported);
}

TEST(SupportCheck, RefusesWhatIsSaidOfTheOther) {
  const Evidence evidence(
      {{0, 8, 0,
        "dBase was a program written by Ashton-Tate and later owned by Borland.\n\n"
        "Each backup is kept in a data centre other than the one in which the original is stored.\n\n"
        "In the Unix world such marks are rarely used, whereas in the Windows world they almost "
        "always are.\n"}});
  const SupportCheck check(evidence);
  const auto verdict = [&](const char* sentence) { return check.judge(sentence, "").verdict; };
  EXPECT_EQ(verdict("dBase was written by Ashton-Tate and later owned by Borland."), Verdict::supported);
  EXPECT_EQ(verdict("dBase was written by Borland and later owned by Ashton-Tate."), Verdict::unsupported);
  EXPECT_EQ(
      verdict("In the Unix world such marks are almost always used, whereas in the Windows world they rarely are."),
      Verdict::unsupported);
  EXPECT_EQ(verdict("Each backup is kept in a data centre other than the one in which the original is stored."),
            Verdict::supported);
  EXPECT_EQ(verdict("Each backup is kept in the data centre in which the original is stored."), Verdict::unsupported);
}

TEST(SupportCheck, TakesNoShortSentenceForAHeading) {
  const Evidence evidence(
      {{0, 4, 0, "It shall pay the rest in time.\n\n5.5 Adjustment. The Provider may raise the Monthly Fee.\n"}});
  EXPECT_EQ(SupportCheck(evidence).judge("The Provider must raise the Monthly Fee.", "").verdict, Verdict::unsupported);
  const Judgement judgement = SupportCheck(evidence).judge("The Provider may raise the Monthly Fee.", "");
  ASSERT_EQ(judgement.verdict, Verdict::supported);
  EXPECT_EQ(judgement.place.quote.find("rest in time"), std::string::npos);
}

TEST_F(SupportTest, RefusesWhatTheTextDoesNotTalkAbout) {
  expect_unsupported("The company was founded by engineers who love sailing.");
  expect_unsupported("Employees receive a bonus every summer.");
}

TEST_F(SupportTest, LeavesAloneWhatClaimsNothing) {
  expect_unsupported("Zero.", "How many days after receipt is an invoice due?");  // a number, no list's
  for (const char* sentence :
       {"Hello!", "Sure, thanks.", "Here is the answer:", "What would you like to know?",
        "Let me know if you have questions.", "The document does not mention a warranty.", "Yes.", "", "***"}) {
    EXPECT_EQ(verdict(sentence), Verdict::no_claim) << sentence;
  }
}

TEST_F(SupportTest, ChecksAClaimAfterALeadIn) {
  expect_unsupported("Here is the governing law: the Federal Trade Commission.");
  expect_unsupported("The answer is 60 days:");
}

TEST_F(SupportTest, ChecksWhatFollowsPolitenessOrALack) {
  expect_unsupported("I'm sorry, but the agreement is governed by the laws of Delaware.");
  expect_unsupported("Thank you for asking: the governing law is the law of Texas.");
  expect_unsupported("I hope this helps: the notice period is 3 days.");
  expect_unsupported("The notice period is 3 days, right?");
  expect_unsupported("This agreement does not mention Austria; it is governed by the laws of the State of Delaware.");
  expect_unsupported("It does not specify a cap, so the Provider is liable for EUR 5,000,000.");
  expect_supported("I'm sorry, but the seat of the arbitration is Vienna.");
  EXPECT_EQ(verdict("I hope this helps, and let me know if you have questions."), Verdict::no_claim);
}

TEST_F(SupportTest, TakesNoListNumberForAFact) {
  expect_supported("7. The seat of arbitration is Vienna.");
  expect_unsupported("The seat of arbitration has 7 chairs in Vienna.");
}

TEST_F(SupportTest, RefusesAnAnswerThatOnlyRepeatsTheQuestion) {
  expect_unsupported("The law of the law governs this agreement.", "Which law governs this agreement?");
  expect_unsupported("This agreement is not governed by any law.", "Which law governs this agreement?");
  // A question for yes or no is answered in its own words.
  expect_unsupported("The Provider may terminate this Agreement for convenience.",
                     "May the Provider terminate this Agreement for convenience?");
}

TEST(SupportCheck, JoinsWordsThatALineEndCut) {
  const Evidence evidence(
      {{0, 1, 0,
        "16. Disputes\n16.1 Seat.\nThe seat of the arbitration is Vi-\nenna and its language is Eng-\nlish.\n"}});
  const Judgement judgement =
      SupportCheck(evidence).judge("The seat of the arbitration is Vienna and the language is English.", "");
  ASSERT_EQ(judgement.verdict, Verdict::supported);
  EXPECT_NE(judgement.place.quote.find("Eng-\nlish"), std::string::npos);
}

TEST(SupportCheck, TakesNoRunningHeadForAHeading) {
  std::vector<EvidencePassage> pages;
  for (int page = 1; page <= 4; ++page) {
    pages.push_back({0, page, 0,
                     "Northmere Ltd / Aldbrook GmbH\nClause " + std::to_string(page) + " speaks of item" +
                         std::string(static_cast<std::size_t>(page), 'x') +
                         " and of its careful storage in a warehouse.\n"});
  }
  const Evidence evidence(pages);
  const Judgement judgement = SupportCheck(evidence).judge("Clause 3 speaks of itemxxx and its storage.", "");
  ASSERT_EQ(judgement.verdict, Verdict::supported);
  EXPECT_EQ(judgement.place.quote.find("Northmere"), std::string::npos);
}

TEST(SupportCheck, WorksOnChinese) {
  const Evidence evidence({{0, 1, 0,
                            "第一条 付款\n\n甲方应当在收到发票后35天内支付款项。逾期付款的,甲方应支付利息。\n\n"
                            "第二条 适用法律\n\n本协议适用奥地利共和国法律。乙方不得向第三方披露保密信息。\n"}});
  const SupportCheck check(evidence);
  const auto verdict = [&](const char* sentence) { return check.judge(sentence, "").verdict; };
  EXPECT_EQ(verdict("本协议适用奥地利法律。"), Verdict::supported);
  EXPECT_EQ(verdict("甲方应在收到发票后35天内支付款项。"), Verdict::supported);
  EXPECT_EQ(verdict("乙方不得向第三方披露保密信息。"), Verdict::supported);
  EXPECT_EQ(verdict("本协议适用瑞士联邦法律。"), Verdict::unsupported);
  EXPECT_EQ(verdict("甲方应在收到发票后60天内支付款项。"), Verdict::unsupported);
  EXPECT_EQ(verdict("乙方可以向第三方披露保密信息。"), Verdict::unsupported);
}

TEST(SupportCheck, HoldsNothingWithoutText) {
  const Evidence evidence({});
  EXPECT_EQ(SupportCheck(evidence).judge("The law of Austria applies.", "").verdict, Verdict::unsupported);
}

TEST(SupportCheck, SurvivesAnyBytes) {
  const Evidence evidence(
      {{0, 1, 0, "A page \xEF\xBF\xBD with 1,,2..3 numbers and \xE4\xB8\x80 \xF0\x9F\x98\x80 signs."}});
  const SupportCheck check(evidence);
  for (const char* sentence : {"\xFF\xFE", "1,,2..3", "one hundred thousand million billion and", "\xF0\x9F\x98\x80",
                               "...", "0000", "$", "%"}) {
    EXPECT_NO_THROW((void)check.judge(sentence, sentence)) << sentence;
  }
}

}  // namespace
}  // namespace lectern::app

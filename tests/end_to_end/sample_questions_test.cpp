// The ten questions of resources/samples, asked of the real programs with the default model: the person must hold the
// proof even where a small model answers wrongly.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/process.h"

namespace lectern::test {
namespace {

const std::string samples = std::string(LECTERN_SOURCE_DIR) + "/resources/samples/";

// True if a verified citation of the answer stands where the question's answer stands.
bool is_proven(const nlohmann::json& answer, const nlohmann::json& question) {
  for (const auto& citation : answer.at("citations")) {
    if (citation.at("status") != "verified") continue;
    if (question.contains("page") && citation.at("page") == question.at("page")) return true;
    if (question.contains("lines") && citation.at("lines").is_array() &&
        citation.at("lines")[0] <= question.at("lines")[1] && citation.at("lines")[1] >= question.at("lines")[0])
      return true;
  }
  return false;
}

void expect_figures_add_up(const nlohmann::json& answer) {
  const auto& coverage = answer.at("coverage");
  EXPECT_EQ(coverage.at("pages").get<int>(), coverage.at("pages_given").get<int>() +
                                                 coverage.at("pages_omitted").get<int>() +
                                                 static_cast<int>(coverage.at("pages_without_text").size()));
  EXPECT_EQ(coverage.at("tokens").get<int>(),
            coverage.at("given_tokens").get<int>() + coverage.at("dropped_tokens").get<int>());
  const auto& usage = answer.at("usage");
  EXPECT_EQ(usage.at("prompt_tokens").get<int>(), usage.at("reused_tokens").get<int>() +
                                                      usage.at("loaded_tokens").get<int>() +
                                                      usage.at("computed_tokens").get<int>());
}

TEST(SampleQuestions, EightOfTenHaveAVerifiedCitationOnTheRightPage) {
  const std::string model = default_model();
  if (model.empty()) GTEST_SKIP() << "the default model is not installed: run installer/test with a network";
  std::ifstream file(samples + "questions.json");
  const nlohmann::json questions = nlohmann::json::parse(file);
  ASSERT_EQ(questions.size(), 10U);

  std::set<std::string> files;
  for (const auto& question : questions) files.insert(question.at("file").get<std::string>());
  int proven = 0;
  for (const std::string& name : files) {
    const TemporaryFolder folder;
    std::vector<nlohmann::json> asked;
    {
      std::ofstream list(folder.path() + "/questions.txt");
      for (const auto& question : questions)
        if (question.at("file") == name) {
          asked.push_back(question);
          list << question.at("question").get<std::string>() << '\n';
        }
    }
    const ProcessResult result = run_process({program("lectern-cli"), "ask", "--json", "--model", model, "--max-tokens",
                                              "48", "--questions", folder.path() + "/questions.txt", samples + name},
                                             folder.environment());
    ASSERT_EQ(result.exit_code, 0) << result.errors;
    std::istringstream lines(result.output);
    std::string line;
    for (const auto& question : asked) {
      ASSERT_TRUE(std::getline(lines, line)) << "fewer answers than questions";
      const nlohmann::json answer = nlohmann::json::parse(line);
      expect_figures_add_up(answer);
      if (is_proven(answer, question))
        ++proven;
      else
        std::cout << "not proven: " << question.at("question") << "\n";
    }
  }
  EXPECT_GE(proven, 8);
}

}  // namespace
}  // namespace lectern::test

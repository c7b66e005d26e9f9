// The child program as it is used: real files through a real lectern-reader.
#include "documents/reader_client.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <qpdf/QPDF.hh>
#include <qpdf/QPDFWriter.hh>
#include <thread>

#include "documents/quote_match.h"
#include "documents/utf8.h"
#include "tests/support/pdf_writer.h"
#include "tests/support/temporary_folder.h"

namespace lectern::documents {
namespace {

using test::PdfWriter;
using test::TemporaryFolder;

ReadOptions options() {
  ReadOptions options;
  options.program = LECTERN_BINARY_DIR "/bin/lectern-reader";
  return options;
}

PdfWriter three_pages() {
  PdfWriter pdf;
  pdf.title = "Three pages";
  pdf.add_page({"Service agreement of the parties", "The fee is due (30 days) after receipt."});
  pdf.add_page({"The notice period is ninety days.", "Governing law: Austria."});
  pdf.add_scan();
  pdf.add_outline("Fees", 1);
  pdf.add_outline("Law", 2);
  return pdf;
}

std::string encrypted(const std::string& bytes, const char* password) {
  QPDF file;
  file.processMemoryFile("plain", bytes.data(), bytes.size());
  QPDFWriter writer(file);
  writer.setOutputMemory();
  writer.setR6EncryptionParameters(password, password, true, true, true, true, true, true, qpdf_r3p_full, true);
  writer.write();
  const std::shared_ptr<Buffer> buffer = writer.getBufferSharedPointer();
  return {reinterpret_cast<const char*>(buffer->getBuffer()), buffer->getSize()};
}

/// The kind of the error that reading gives, and its message; "read" if there is none.
std::string outcome(const std::string& path, const ReadOptions& how = options()) {
  try {
    read_document(path, how);
    return "read";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
    EXPECT_EQ(std::string(error.what()).find(path), 0U) << error.what();
    return name(error.kind());
  }
}

TEST(ReaderClient, ReadsAPdfPageByPageWithBoxesAndOutline) {
  const TemporaryFolder folder;
  const std::string path = folder.write("agreement.pdf", three_pages().bytes());
  std::vector<int> seen;
  ReadOptions how = options();
  how.progress = [&seen](int page, int pages) {
    seen.push_back(page);
    EXPECT_EQ(pages, 3);
  };
  const Document document = read_document(path, how);
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(document.kind, DocumentKind::pdf);
  EXPECT_EQ(document.name, "agreement.pdf");
  EXPECT_EQ(document.title, "Three pages");
  EXPECT_EQ(document.fingerprint.size(), 32U);
  ASSERT_EQ(document.pages.size(), 3U);
  EXPECT_EQ(document.pages[0].text, "Service agreement of the parties\nThe fee is due (30 days) after receipt.");
  EXPECT_EQ(document.pages[0].width_pt, 612);
  EXPECT_EQ(document.pages[0].height_pt, 792);

  const Page& page = document.pages[0];
  ASSERT_EQ(page.words.size(), 13U);
  EXPECT_EQ(slice(page.text, page.words[5].start, page.words[5].end), "The");
  EXPECT_NEAR(page.words[5].box.x0, 72, 1);
  EXPECT_LT(page.words[5].box.y0, 86);  // the base line of the second line
  EXPECT_GT(page.words[5].box.y1, 86);

  EXPECT_EQ(document.report.pages_without_text, std::vector<int>{3});
  EXPECT_TRUE(document.pages[2].has_image);
  ASSERT_EQ(document.outline.size(), 2U);
  EXPECT_EQ(document.outline[1].title, "Law");
  EXPECT_EQ(document.outline[1].page, 2);
  EXPECT_EQ(QuoteIndex(document).find("notice period is ninety days")->first.page, 2);
}

TEST(ReaderClient, GivesWordsTheirBoxesWhenColumnsAreDrawnOneAfterTheOther) {
  PdfWriter pdf;
  std::vector<test::PdfLine> lines;
  for (int column = 0; column < 2; ++column) {
    for (int i = 0; i < 20; ++i) {
      lines.push_back({column == 0 ? 60.0 : 330.0, 80.0 + 14 * i,
                       "the same words of column " + std::to_string(column) + " line " + std::to_string(i)});
    }
  }
  pdf.add_placed(lines);
  const TemporaryFolder folder;
  const Document document = read_document(folder.write("columns.pdf", pdf.bytes()), options());
  const Page& page = document.pages[0];
  EXPECT_LT(page.text.find("column 0 line 19"), page.text.find("column 1 line 0")) << "columns stay apart";
  ASSERT_EQ(page.words.size(), 320U);
  for (const Word& word : page.words) {
    const std::string before(slice(page.text, 0, word.start));
    const bool second_column = word.start >= code_points(page.text) / 2;
    EXPECT_EQ(word.box.x0 > 320, second_column) << slice(page.text, word.start, word.end);
    const auto line = std::count(before.begin(), before.end(), '\n') % 20;
    EXPECT_NEAR(word.box.y1, 80 + 14 * static_cast<double>(line), 5);
  }
}

TEST(ReaderClient, ReadsChineseInsideTheSandbox) {
  PdfWriter pdf;
  pdf.add_chinese("672C54085540");
  pdf.add_chinese("672C5408540C81EA7B7E5B574E4B65E58D77751F6548");
  const TemporaryFolder folder;
  ReaderProcess reader = ReaderProcess::open(folder.write("chinese.pdf", pdf.bytes()), options());
  EXPECT_TRUE(reader.info().report.warnings.empty()) << "poppler-data is installed";
  const Page page = reader.page(2);
  EXPECT_EQ(page.text, "本合同自签字之日起生效");
  ASSERT_EQ(page.words.size(), 11U) << "a box for each character";
  EXPECT_NEAR(page.words[10].box.x0 - page.words[0].box.x0, 140, 1);
  EXPECT_EQ(reader.render(2, 72).width, 612);
}

TEST(ReaderClient, SwapsTheSidesOfATurnedPage) {
  PdfWriter pdf;
  pdf.rotate = 90;
  pdf.add_page({"Turned page"});
  const TemporaryFolder folder;
  const std::string path = folder.write("turned.pdf", pdf.bytes());
  const Document document = read_document(path, options());
  EXPECT_EQ(document.pages[0].width_pt, 792);
  ASSERT_EQ(document.pages[0].words.size(), 2U);
  EXPECT_GT(document.pages[0].words[0].box.x0, 680);  // the top of the sheet is at the right
  const Picture picture = ReaderProcess::open(path, options()).render(1, 72);
  EXPECT_EQ(picture.width, 792);
  EXPECT_EQ(picture.height, 612);
}

TEST(ReaderClient, RendersPagesWithinBounds) {
  const TemporaryFolder folder;
  ReaderProcess reader = ReaderProcess::open(folder.write("a.pdf", three_pages().bytes()), options());
  const Picture picture = reader.render(1, 144);
  EXPECT_EQ(picture.width, 1224);
  EXPECT_EQ(picture.height, 1584);
  int dark = 0;
  for (std::size_t i = 0; i < picture.pixels.size(); i += 4)
    dark += static_cast<unsigned char>(picture.pixels[i]) < 100 ? 1 : 0;
  EXPECT_GT(dark, 200) << "letters are drawn";
  EXPECT_THROW(reader.render(4, 72), Error);

  PdfWriter huge;
  huge.width = huge.height = 14400;
  huge.add_page({"Huge"});
  const Picture bounded = ReaderProcess::open(folder.write("huge.pdf", huge.bytes()), options()).render(1, 600);
  EXPECT_LE(static_cast<double>(bounded.width) * bounded.height, 66e6);
}

TEST(ReaderClient, TellsBadFilesApart) {
  const TemporaryFolder folder;
  const std::string pdf = three_pages().bytes();
  EXPECT_EQ(outcome(folder.path() + "/none.pdf"), "missing");
  EXPECT_EQ(outcome(folder.path()), "unsupported");
  EXPECT_EQ(outcome(folder.write("empty.pdf", "")), "empty");
  EXPECT_EQ(outcome(folder.write("page.pdf", "<html><body>not found</body></html>")), "unsupported");
  EXPECT_EQ(outcome(folder.write("archive.pdf", std::string_view("PK\x03\x04\0\0", 6))), "unsupported");
  EXPECT_EQ(outcome(folder.write("header.pdf", "%PDF-1.7\nnothing else")), "damaged");
  EXPECT_EQ(outcome(folder.write("binary.txt", std::string("\x01\x02\x00\x03", 4) + std::string(500, '\x02'))),
            "unsupported");
  EXPECT_EQ(outcome(folder.write("locked.pdf", encrypted(pdf, "opensesame"))), "encrypted");
  if (geteuid() != 0) {
    const std::string secret = folder.write("secret.pdf", pdf);
    chmod(secret.c_str(), 0);
    EXPECT_EQ(outcome(secret), "permission");
  }
}

TEST(ReaderClient, OpensAnEncryptedPdfWithItsPasswordOnly) {
  const TemporaryFolder folder;
  const std::string path = folder.write("locked.pdf", encrypted(three_pages().bytes(), "opensesame"));
  ReadOptions how = options();
  how.password = "wrong";
  EXPECT_EQ(outcome(path, how), "encrypted");
  how.password = "opensesame";
  const Document document = read_document(path, how);
  EXPECT_NE(document.pages[1].text.find("ninety days"), std::string::npos);
  EXPECT_EQ(document.outline.size(), 2U);
}

TEST(ReaderClient, ATruncatedPdfIsReadAsFarAsItGoesOrRefused) {
  const TemporaryFolder folder;
  const std::string whole = three_pages().bytes();
  int read = 0;
  for (std::size_t size = 9; size < whole.size(); size += 97) {
    const std::string path = folder.write("cut.pdf", whole.substr(0, size));
    const std::string result = outcome(path);
    if (result == "read") {
      ++read;
      EXPECT_GT(read_document(path, options()).report.problems, 0) << "a loss is counted, at " << size;
    } else {
      EXPECT_EQ(result, "damaged");
    }
  }
  EXPECT_GT(read, 0);
}

TEST(ReaderClient, RandomDamageNeverHarmsTheProgram) {
  const TemporaryFolder folder;
  const std::string whole = three_pages().bytes();
  std::uint32_t seed = 12345;
  for (int round = 0; round < 25; ++round) {
    std::string bytes = whole;
    for (int i = 0; i < 40; ++i) {
      seed = seed * 1664525 + 1013904223;
      bytes[9 + (seed >> 8U) % (bytes.size() - 9)] = static_cast<char>(seed >> 24U);
    }
    const std::string result = outcome(folder.write("damaged.pdf", bytes));
    EXPECT_TRUE(result == "read" || result == "damaged" || result == "crashed" || result == "encrypted") << result;
  }
}

TEST(ReaderClient, TurnsTheDeathOfTheChildIntoAnError) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.txt", "some text\n");
  ReaderOptions how = options();
  how.cpu_s = 1;
  how.memory_bytes = std::int64_t{512} << 20;
  const auto after = [&](const char* what) -> std::string {
    ReaderProcess reader = ReaderProcess::open(path, how);
    try {
      reader.misbehave(what);
      return "nothing";
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find(path), 0U);
      EXPECT_THROW(reader.page(1), Error) << "the process is gone";
      return name(error.kind());
    }
  };
  EXPECT_EQ(after("crash"), "crashed");
  EXPECT_EQ(after("exit"), "crashed");
  EXPECT_EQ(after("babble"), "crashed");
  EXPECT_EQ(after("memory"), "too_large");
  EXPECT_EQ(after("hang"), "timed_out");
  EXPECT_EQ(after("sleep"), "timed_out");
}

TEST(ReaderClient, TheChildCannotWriteConnectOrStartPrograms) {
  const TemporaryFolder folder;
  ReaderProcess reader = ReaderProcess::open(folder.write("a.txt", "some text\n"), options());
  for (const char* what : {"write", "socket", "fork", "program", "memory limit"})
    EXPECT_EQ(reader.misbehave(what), "refused") << what;
  EXPECT_EQ(reader.page(1).text, "some text");
}

TEST(ReaderClient, AChildKilledFromOutsideIsAnErrorAndNotASignal) {
  const TemporaryFolder folder;
  ReaderProcess reader = ReaderProcess::open(folder.write("a.txt", "some text\n"), options());
  kill(reader.process_id(), SIGKILL);
  EXPECT_THROW(reader.page(1), Error);
  EXPECT_THROW(reader.page(1), Error);
}

TEST(ReaderClient, StopsAtOnce) {
  const TemporaryFolder folder;
  ReaderProcess reader = ReaderProcess::open(folder.write("a.pdf", three_pages().bytes()), options());
  std::stop_source stop;
  stop.request_stop();
  try {
    reader.page(1, stop.get_token());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::cancelled);
  }
}

TEST(ReaderClient, SeveralThreadsReadAtTheSameTime) {
  const TemporaryFolder folder;
  std::vector<std::string> texts(4);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      threads.emplace_back([&, i] {
        const std::string path = folder.write("t" + std::to_string(i) + ".txt", "text of thread " + std::to_string(i));
        for (int k = 0; k < 3; ++k) texts[i] = read_document(path, options()).pages[0].text;
      });
    }
  }
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(texts[i], "text of thread " + std::to_string(i));
}

TEST(ReaderClient, SaysWhenTheReaderIsNotThere) {
  const TemporaryFolder folder;
  ReadOptions how = options();
  how.program = folder.path() + "/no-such-reader";
  try {
    read_document(folder.write("a.txt", "x"), how);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::setup);
  }
}

TEST(ReaderClient, ReadsRealContractsAndOddFilesWhereTheyAreAtHand) {
  const char* real_files = std::getenv("LECTERN_REAL_FILES");
  if (real_files == nullptr) GTEST_SKIP() << "LECTERN_REAL_FILES names no folder: see tests/reference/README.md";
  const std::filesystem::path data = real_files;
  ReadOptions how = options();
  how.cpu_s = 5;
  for (const char* file : {"pdf-odd/ArabicCIDTrueType.pdf", "pdf-odd/noembed-identity.pdf", "pdf-odd/cid_cff.pdf",
                           "pdf-odd/rotated.pdf", "cuad/MACY_S_INC_05_11_2020_EX_99_4_JOINT_FILING_AGREEMENT.pdf"}) {
    const Document document = read_document((data / file).string(), how);
    std::int64_t text_words = 0;
    for (const Page& page : document.pages) text_words += static_cast<std::int64_t>(page.words.size());
    EXPECT_GT(text_words, 0) << file;
  }
  EXPECT_EQ(outcome((data / "pdf-odd/print_protection.pdf").string(), how), "encrypted");
}

}  // namespace
}  // namespace lectern::documents

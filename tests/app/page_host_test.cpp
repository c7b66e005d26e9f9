// The real host with the real lectern-reader and the sample agreement.
#include "app/page_host.h"

#include <QElapsedTimer>
#include <QSignalSpy>
#include <QTest>
#include <filesystem>
#include <fstream>
#include <memory>

#include "documents/fingerprint.h"
#include "tests/app/temporary_folder.h"

using lectern::app::PageHost;
using lectern::app::PagePicture;
using lectern::app::testing::TemporaryFolder;

class PageHostTest : public QObject {
  Q_OBJECT

 private Q_SLOTS:
  void init() {
    folder_ = std::make_unique<TemporaryFolder>();
    host_ = std::make_unique<PageHost>();
    path_ = QString::fromStdString(folder_->file("agreement.pdf"));
    std::filesystem::copy_file(LECTERN_SOURCE_DIR "/resources/samples/services-agreement.pdf", path_.toStdString());
    fingerprint_ = QString::fromStdString(lectern::documents::fingerprint_file(path_.toStdString()));
  }
  void cleanup() {
    host_.reset();
    folder_.reset();
  }

  void renders_a_page_with_ink_on_it() {
    QSignalSpy rendered(host_.get(), &PageHost::page_rendered);
    host_->request(fingerprint_, path_, 2, 72, QStringLiteral("page"));
    QVERIFY(rendered.wait(20'000));
    QCOMPARE(rendered[0][0].toString(), fingerprint_);
    QCOMPARE(rendered[0][1].toInt(), 2);
    QCOMPARE(rendered[0][2].toDouble(), 72.0);
    QCOMPARE(rendered[0][3].toString(), QStringLiteral("page"));
    const auto picture = rendered[0][4].value<PagePicture>();
    QVERIFY(picture.width > 400 && picture.height > 600);
    QCOMPARE(picture.pixels.size(), qsizetype{4} * picture.width * picture.height);
    qsizetype dark = 0;
    for (qsizetype i = 0; i < picture.pixels.size(); i += 4)
      if (static_cast<unsigned char>(picture.pixels[i]) < 100) ++dark;
    QVERIFY(dark > 500);
    QVERIFY(dark < picture.pixels.size() / 8);
  }

  void replaces_waiting_requests_of_the_same_purpose() {
    QSignalSpy rendered(host_.get(), &PageHost::page_rendered);
    QElapsedTimer timer;
    timer.start();
    for (int page = 1; page <= 12; ++page) host_->request(fingerprint_, path_, page, 100, QStringLiteral("page"));
    host_->request(fingerprint_, path_, 1, 20, QStringLiteral("thumbnail"));
    QVERIFY2(timer.elapsed() < 500, "request() waits");
    QTRY_VERIFY_WITH_TIMEOUT(!rendered.empty() && has(rendered, 12, 100) && has(rendered, 1, 20), 20'000);
    QTest::qWait(300);
    QVERIFY2(rendered.size() <= 4, qPrintable(QString::number(rendered.size())));
  }

  void says_what_is_wrong_with_a_file_and_works_on() {
    QSignalSpy failed(host_.get(), &PageHost::page_failed);
    host_->request(QStringLiteral("f"), path_ + QStringLiteral(".missing"), 1, 72, QStringLiteral("a"));
    QVERIFY(failed.wait(20'000));
    QVERIFY(failed[0][3].toString().contains(QStringLiteral("missing")));
    host_->request(QStringLiteral("another fingerprint"), path_, 1, 72, QStringLiteral("b"));
    QVERIFY(failed.wait(20'000));
    QVERIFY2(failed[1][3].toString().contains(QStringLiteral("has changed")), qPrintable(failed[1][3].toString()));
    host_->request(fingerprint_, path_, 9999, 72, QStringLiteral("c"));
    QVERIFY(failed.wait(20'000));
    QCOMPARE(failed[2][1].toInt(), 9999);
    QCOMPARE(failed[2][2].toString(), QStringLiteral("c"));
    QSignalSpy rendered(host_.get(), &PageHost::page_rendered);
    host_->request(fingerprint_, path_, 1, 72, QStringLiteral("d"));
    QVERIFY(rendered.wait(20'000));
  }

  void sees_a_changed_file_after_forgetting_it() {
    QSignalSpy rendered(host_.get(), &PageHost::page_rendered);
    host_->request(fingerprint_, path_, 1, 30, QStringLiteral("page"));
    QVERIFY(rendered.wait(20'000));
    host_->forget(fingerprint_);
    std::filesystem::resize_file(path_.toStdString(), 500);
    QSignalSpy failed(host_.get(), &PageHost::page_failed);
    host_->request(fingerprint_, path_, 1, 30, QStringLiteral("page"));
    QVERIFY(failed.wait(20'000));
  }

  void keeps_only_a_few_documents_open_and_renders_all() {
    QSignalSpy rendered(host_.get(), &PageHost::page_rendered);
    for (int i = 0; i < 7; ++i) {
      const std::string name = "text" + std::to_string(i) + ".pdf";
      const std::string copy = folder_->file(name);
      std::filesystem::copy_file(path_.toStdString(), copy);
      std::ofstream(copy, std::ios::app) << "% " << i << "\n";  // other content, same pages
      host_->request(QString::fromStdString(lectern::documents::fingerprint_file(copy)), QString::fromStdString(copy),
                     1, 20, QString::number(i));
    }
    QTRY_COMPARE_WITH_TIMEOUT(rendered.size(), 7, 30'000);
    QVERIFY2(open_readers() <= 4, qPrintable(QString::number(open_readers())));
  }

  void ends_while_it_renders() {
    host_->request(fingerprint_, path_, 1, 600, QStringLiteral("page"));
    QTest::qWait(100);
    QElapsedTimer timer;
    timer.start();
    host_.reset();
    QVERIFY(timer.elapsed() < 5'000);
    QCOMPARE(open_readers(), 0);
  }

 private:
  static bool has(const QSignalSpy& spy, int page, double dpi) {
    for (const auto& call : spy)
      if (call[1].toInt() == page && call[2].toDouble() == dpi) return true;
    return false;
  }

  /// Child processes of this program.
  static int open_readers() {
    int children = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
      std::ifstream stream(entry.path() / "children");
      for (int id = 0; stream >> id;) ++children;
    }
    return children;
  }

  std::unique_ptr<TemporaryFolder> folder_;
  std::unique_ptr<PageHost> host_;
  QString path_, fingerprint_;
};

QTEST_GUILESS_MAIN(PageHostTest)
#include "page_host_test.moc"

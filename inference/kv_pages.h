// The memory of keys and values: pages of 256 tokens, shared by reference, copied when two branches write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/kv_page.h"

namespace lectern::inference {

class KvPagePool;

/// A counted reference to one page: all layers of 256 tokens in one allocation, [layer][K|V][head][token][dim].
/// Belongs to one thread, as its pool does; the pool outlives it.
class PageRef {
 public:
  PageRef() = default;
  PageRef(const PageRef& other);
  PageRef(PageRef&& other) noexcept;
  PageRef& operator=(PageRef other) noexcept;
  ~PageRef();

  explicit operator bool() const { return page_ != nullptr; }
  bool operator==(const PageRef& other) const { return page_ == other.page_; }
  std::byte* data() const;
  /// Identity for accounting.
  const void* identity() const { return page_; }
  /// References to this page, this one included.
  std::int64_t references() const;

 private:
  friend class KvPagePool;
  friend class KvSequence;
  struct Page;
  explicit PageRef(Page* page) : page_(page) {}
  Page* page_ = nullptr;
};

/// Hands out pages up to a budget. Freed pages are kept for the next use. Not thread-safe.
class KvPagePool {
 public:
  /// `layers`: how many layers have keys and values (may be 0). `budget_bytes`: more than this is never held.
  KvPagePool(std::int64_t layers, kernels::KvShape shape, std::int64_t budget_bytes);
  ~KvPagePool();
  KvPagePool(const KvPagePool&) = delete;
  KvPagePool& operator=(const KvPagePool&) = delete;

  /// An unused page of unspecified content. Throws Error{out_of_memory} when the budget is used up.
  PageRef allocate();
  /// A page with the first `tokens` tokens of `source`.
  PageRef copy_of(const PageRef& source, std::int64_t tokens);

  std::int64_t layers() const { return layers_; }
  const kernels::KvShape& shape() const { return shape_; }
  std::int64_t page_bytes() const { return layers_ * shape_.strip_bytes(); }
  std::int64_t pages_in_use() const { return in_use_; }
  std::int64_t budget_pages() const { return budget_pages_; }
  /// Gives the memory of unused pages back to the system.
  void trim();

 private:
  friend class PageRef;
  void release(PageRef::Page* page);

  std::int64_t layers_ = 0;
  kernels::KvShape shape_;
  std::int64_t budget_pages_ = 0;
  std::int64_t in_use_ = 0;
  std::vector<std::unique_ptr<PageRef::Page>> pages_;
  std::vector<PageRef::Page*> free_;
};

/// The keys and values of one token chain: pages and how many of their slots belong to it.
/// A page may hold more slots than its owner's length: the first chain to grow writes in place, every other one copies.
class KvSequence {
 public:
  explicit KvSequence(KvPagePool& pool) : pool_(&pool) {}
  /// The first `length` slots of shared pages.
  KvSequence(KvPagePool& pool, std::span<const PageRef> pages, std::int64_t length);

  std::int64_t length() const { return length_; }
  std::span<const PageRef> pages() const { return pages_; }
  /// Makes slots [length, length + tokens) writable: new pages, and a copy of a part-filled last page that another
  /// chain has grown. Throws Error{out_of_memory} and changes nothing then.
  void reserve(std::int64_t tokens);
  /// The slots of the last reserve that were written now count.
  void advance(std::int64_t tokens);
  /// Forgets the slots from `length` on.
  void truncate(std::int64_t length);
  /// Fills `strips` (size >= pages().size()) with this layer's memory of each page and returns the used part.
  kernels::KvStrips strips(std::int64_t layer, std::span<std::byte*> strips) const;

 private:
  KvPagePool* pool_;
  std::vector<PageRef> pages_;
  std::int64_t length_ = 0;
};

}  // namespace lectern::inference

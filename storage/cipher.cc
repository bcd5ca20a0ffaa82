#include "storage/cipher.h"

#include <sodium.h>

#include <type_traits>

namespace holdfast::storage {
namespace {

static_assert(sizeof(CipherKey) == crypto_aead_xchacha20poly1305_ietf_KEYBYTES &&
              sizeof(Nonce) == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES &&
              kSealBytes == crypto_aead_xchacha20poly1305_ietf_ABYTES);

template <typename T>
auto* Raw(T& bytes) {
  if constexpr (std::is_const_v<std::remove_pointer_t<decltype(bytes.data())>>)
    return reinterpret_cast<const unsigned char*>(bytes.data());
  else
    return reinterpret_cast<unsigned char*>(bytes.data());
}

// Chooses the fastest code for this CPU; without it libsodium takes the portable one.
const int kInitialized = sodium_init();

}  // namespace

CipherKey RandomKey() {
  CipherKey key;
  randombytes_buf(key.data(), key.size());
  return key;
}

Nonce RandomNonce() {
  Nonce nonce;
  randombytes_buf(nonce.data(), nonce.size());
  return nonce;
}

Nonce NonceOf(uint64_t number) {
  Nonce nonce{};
  for (size_t i = 0; i < sizeof number; ++i) nonce[i] = static_cast<std::byte>(number >> (8 * i));
  return nonce;
}

void Seal(const CipherKey& key, const Nonce& nonce, std::string_view about,
          std::span<const std::byte> data, std::span<std::byte> out) {
  crypto_aead_xchacha20poly1305_ietf_encrypt(Raw(out), nullptr, Raw(data), data.size(), Raw(about),
                                             about.size(), nullptr, Raw(nonce), Raw(key));
}

bool Unseal(const CipherKey& key, const Nonce& nonce, std::string_view about,
            std::span<const std::byte> sealed, std::span<std::byte> out) {
  return sealed.size() == out.size() + kSealBytes &&
         crypto_aead_xchacha20poly1305_ietf_decrypt(Raw(out), nullptr, nullptr, Raw(sealed),
                                                    sealed.size(), Raw(about), about.size(),
                                                    Raw(nonce), Raw(key)) == 0;
}

}  // namespace holdfast::storage

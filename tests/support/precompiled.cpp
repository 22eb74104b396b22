// SPDX-License-Identifier: Apache-2.0
// The owner of the precompiled catch.hpp that every test program reuses.

/* SPDX-License-Identifier: MIT */
/* Nothing is exported in user space. */
#ifndef __POLICY_KUNIT_VISIBILITY_H__
#define __POLICY_KUNIT_VISIBILITY_H__

#define EXPORT_SYMBOL_IF_KUNIT(symbol) extern int __policy_no_export_##symbol

#endif

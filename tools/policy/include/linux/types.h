/* SPDX-License-Identifier: MIT */
/* Just enough of the kernel's types for the policy engine in user space. */
#ifndef __POLICY_LINUX_TYPES_H__
#define __POLICY_LINUX_TYPES_H__

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int8_t s8;
typedef uint8_t u8;
typedef uint16_t u16;
typedef int32_t s32;
typedef uint32_t u32;
typedef long long s64;
typedef unsigned long long u64;

#endif

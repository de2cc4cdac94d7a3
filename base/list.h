/* list.h - an intrusive doubly linked list: the node lives in the object. Not thread-safe. */
#ifndef PLAIT_BASE_LIST_H
#define PLAIT_BASE_LIST_H

#include "base/compiler.h"

struct pl_list {
    struct pl_list *next, *prev; /* a head points at itself when empty; a free node holds NULLs */
};

static inline void pl_list_init(struct pl_list *head)
{
    head->next = head->prev = head;
}

static inline bool pl_list_empty(const struct pl_list *head)
{
    return head->next == head;
}

static inline bool pl_list_linked(const struct pl_list *node)
{
    return node->next != NULL;
}

static inline void pl_list_append(struct pl_list *head, struct pl_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* Takes a node off its list; does nothing to one that is on none. */
static inline void pl_list_remove(struct pl_list *node)
{
    if (!node->next)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

/* The first node taken off, NULL when empty. */
static inline struct pl_list *pl_list_pop(struct pl_list *head)
{
    struct pl_list *node = head->next;

    if (node == head)
        return NULL;
    pl_list_remove(node);
    return node;
}

#define PL_LIST_EACH(node, head) \
    for (struct pl_list *node = (head)->next; node != (head); node = node->next)

#endif

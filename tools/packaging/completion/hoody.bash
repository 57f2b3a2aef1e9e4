# SPDX-License-Identifier: Apache-2.0
# bash completion for hoody: the program itself knows what may follow.

_hoody() {
	local line
	COMPREPLY=()
	while IFS=$'\t' read -r line _; do
		COMPREPLY+=("$line")
	done < <("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _hoody hoody

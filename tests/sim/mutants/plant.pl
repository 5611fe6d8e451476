#!/usr/bin/perl
# plant.pl LIST NAME ROOT: put the mutant "NAME" of LIST into the sources under ROOT. plant.pl LIST: print all names.
use strict;
use warnings;

my ($list, $want, $root) = @ARGV;
my (@mutants, $m, $edit, $last);
open my $in, '<', $list or die "$list: $!\n";
while (<$in>) {
    chomp;
    next if /^#/ || /^\s*$/;
    if (/^= (.+)/) { $m = { name => $1, edits => [] }; push @mutants, $m; }
    elsif (/^! (.+)/) { $m->{options} = $1; }
    elsif (/^@ (\S+)/) { $edit = { file => $1, old => '', new => '' }; push @{ $m->{edits} }, $edit; }
    elsif (/^- ?(.*)/) { $edit->{old} .= "$1\n"; }
    elsif (/^\+ ?(.*)/) { $edit->{new} .= "$1\n"; }
    else { die "$list:$.: what is this? $_\n"; }
}
if (!defined $want) { print "$_->{name}\n" for @mutants; exit 0; }
if (!defined $root) { print +(grep { $_->{name} eq $want } @mutants)[0]{options} // '', "\n"; exit 0; }
my ($chosen) = grep { $_->{name} eq $want } @mutants or die "no mutant `$want`\n";
for my $e (@{ $chosen->{edits} }) {
    my $path = "$root/$e->{file}";
    my ($old, $new) = ($e->{old}, $e->{new});
    open my $f, '<', $path or die "$path: $!\n";
    local $/;
    my $text = <$f>;
    close $f;
    if (index($text, $old) < 0) { $old =~ s/\n\z//; $new =~ s/\n\z//; }    # the last line may be the start of one
    my $at = index $text, $old;
    die "$want: not found in $e->{file}:\n$old\n" if $at < 0;
    die "$want: found twice in $e->{file}:\n$old\n" if index($text, $old, $at + 1) >= 0;
    substr $text, $at, length $old, $new;
    open $f, '>', $path or die "$path: $!\n";
    print $f $text;
    close $f;
}

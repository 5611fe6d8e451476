#!/usr/bin/perl
# plant.pl LIST NAME ROOT: put the mutant "NAME" of LIST into the sources under ROOT. plant.pl LIST NAME: its options for the simulator.
# plant.pl LIST: all names. plant.pl LIST --check ROOT: plants nothing, and says which mutants have no place there any more.
use strict;
use warnings;

my ($list, $want, $root) = @ARGV;
my (@mutants, $m, $edit);
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
@mutants or die "$list: no mutants\n";

sub source {
    my ($mutant, $file) = @_;
    open my $f, '<', "$root/$file" or die "$mutant: $file: $!\n";
    local $/;
    return scalar <$f>;
}

# The texts of the files that a mutant changes, changed, by their names.
sub planted {
    my ($mutant) = @_;
    my %texts;
    die "$mutant->{name}: changes nothing\n" if !@{ $mutant->{edits} };
    for my $e (@{ $mutant->{edits} }) {
        my ($file, $old, $new) = ($e->{file}, $e->{old}, $e->{new});
        die "$mutant->{name}: names no text of $file\n" if $old eq '';
        die "$mutant->{name}: leaves $file as it is\n" if $old eq $new;
        my $text = $texts{$file} // source($mutant->{name}, $file);
        if (index($text, $old) < 0) { $old =~ s/\n\z//; $new =~ s/\n\z//; }    # the last line may be the start of one
        my $at = index $text, $old;
        die "$mutant->{name}: not found in $file:\n$old\n" if $at < 0;
        die "$mutant->{name}: found twice in $file:\n$old\n" if index($text, $old, $at + 1) >= 0;
        substr $text, $at, length $old, $new;
        $texts{$file} = $text;
    }
    return \%texts;
}

if (!defined $want) { print "$_->{name}\n" for @mutants; exit 0; }
if ($want eq '--check') {
    my ($bad, %seen) = (0);
    for my $mutant (@mutants) {
        if ($seen{ $mutant->{name} }++) { print "$mutant->{name}: two bugs have this name\n"; $bad = 1; }
        if (!eval { planted($mutant); 1 }) { print $@; $bad = 1; }
    }
    exit $bad;
}
if (!defined $root) { print +(grep { $_->{name} eq $want } @mutants)[0]{options} // '', "\n"; exit 0; }
my ($chosen) = grep { $_->{name} eq $want } @mutants or die "no mutant `$want`\n";
my $texts = planted($chosen);
for my $file (sort keys %$texts) {
    open my $f, '>', "$root/$file" or die "$root/$file: $!\n";
    print $f $texts->{$file};
    close $f;
}
